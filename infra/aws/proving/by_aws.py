"""What AWS tells its owner of the deployment."""

import json
import subprocess
import time
from collections.abc import Iterator

from infra.aws.building import ROOT
from infra.aws.destroying import documents_bucket
from infra.aws.proving.account import Account, NotShown, Skipped
from infra.aws.transform import read
from infra.demo.client import Client

DAY_SECONDS = 86_400
METRICS = {"tokens", "first_token_seconds", "spend_micro_usd", "admission_seconds"}
SIMULATED = ("success@simulator.amazonses.com", "bounce@simulator.amazonses.com")


def mail(account: Account) -> str:
    if account.parameters.get("Mail", "ses") != "ses":
        raise Skipped("mails go by SMTP")
    quota = account.client("sesv2").get_account
    before = quota()["SendQuota"]["SentLast24Hours"]
    for address in SIMULATED:
        body = {"email": address, "password": "a quiet green harbour", "name": "prove-aws"}
        account.web.need(202, "POST", "/auth/register", body)
    account.until(lambda: quota()["SendQuota"]["SentLast24Hours"] > before, "SES sent a mail")
    function = account.physical("BouncesFunction")
    account.until(lambda: _invoked(account, function), "the bounce reached its function")
    return "SES sent the mail, and its bounce reached the function"


def _invoked(account: Account, function: str) -> bool:
    points = account.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Invocations",
        Dimensions=[{"Name": "FunctionName", "Value": function}],
        StartTime=account.began_s - 60,
        EndTime=time.time() + 60,
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    return any(point["Sum"] for point in points)


def documents(account: Account) -> str:
    web, (token, _) = account.web, account.token()
    content = b"The lighthouse of Vardo has a green lamp.\n"
    uploaded = web.need(200, "POST", "/v1/files", _form("vardo.txt", content), token).body["id"]
    bucket = documents_bucket(account.client, account.stack)
    objects = account.client("s3").list_objects_v2(Bucket=bucket).get("KeyCount", 0)
    store = web.need(200, "POST", "/v1/vector_stores", {"name": "prove-aws", "file_ids": [uploaded]}, token).body["id"]
    path = f"/v1/vector_stores/{store}"
    try:
        account.until(lambda: web.need(200, "GET", path, bearer=token).body["file_counts"]["completed"], "it was read")
        found = web.need(200, "POST", f"{path}/search", {"query": "lighthouse lamp"}, token).body["data"]
    finally:
        web.call("DELETE", path, bearer=token)
        web.call("DELETE", f"/v1/files/{uploaded}", bearer=token)
    if not objects or not found:
        raise NotShown(f"{objects} objects in the bucket, {len(found)} passages found")
    return f"uploaded to S3 ({objects} objects), read, and found again"


def _form(name: str, content: bytes) -> tuple[str, bytes]:
    """A file as a form: its content type and its bytes."""
    mark = "prove-aws-boundary"
    head = f'--{mark}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--{mark}\r\n'
    head += f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/plain\r\n\r\n'
    return f"multipart/form-data; boundary={mark}", head.encode() + content + f"\r\n--{mark}--\r\n".encode()


def alarms(account: Account) -> str:
    resources = read(ROOT / "infra" / "aws" / "alarms.yaml")["Resources"].values()
    wanted = sum(one["Type"] == "AWS::CloudWatch::Alarm" for one in resources)
    pages = account.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=account.stack)
    states = [alarm["StateValue"] for page in pages for alarm in page["MetricAlarms"]]
    seen = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "none"
    if len(states) < wanted or "ALARM" in states:
        raise NotShown(f"{seen}; the template has {wanted}")
    return seen


def metrics(account: Account) -> str:
    cloudwatch = account.client("cloudwatch")

    def all_there() -> bool:
        pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=account.stack)
        return {metric["MetricName"] for page in pages for metric in page["Metrics"]} >= METRICS

    account.until(all_there, "the dashboard's metrics")
    return f"CloudWatch has {', '.join(sorted(METRICS))}"


def cold_starts(account: Account) -> str:
    """From the REPORT lines of the last day, which Lambda writes as JSON."""
    pages = account.client("logs").get_paginator("filter_log_events")
    pages = pages.paginate(
        logGroupName=account.physical("Logs"),
        startTime=int((account.began_s - DAY_SECONDS) * 1000),
        filterPattern='{ $.type = "platform.report" }',
    )
    found = sorted(_inits(event["message"] for page in pages for event in page["events"]))
    if not found:
        raise NotShown("no REPORT line of a cold start within a day")
    best, middle, worst = found[0], found[len(found) // 2], found[-1]
    return f"{len(found)} cold starts; INIT {best:.0f} ms at best, {middle:.0f} p50, {worst:.0f} at worst"


def _inits(messages: Iterator[str]) -> Iterator[float]:
    for message in messages:
        duration = json.loads(message).get("record", {}).get("metrics", {}).get("initDurationMs")
        if duration is not None:
            yield float(duration)


def function_url(account: Account) -> str:
    if account.parameters.get("InferenceUrl"):
        raise Skipped("the model has a server of its own")
    url = account.client("lambda").get_function_url_config(
        FunctionName=account.physical("InferenceFunction"), Qualifier="live"
    )["FunctionUrl"]
    status = Client(url).call("GET", "/v1/models").status
    if status != 403:
        raise NotShown(f"an unsigned request to the model was answered {status}")
    return "an unsigned request to the model is a 403"


def rollouts(account: Account) -> str:
    if account.parameters.get("GradualDeployment") == "false":
        raise Skipped("GradualDeployment is false")
    codedeploy = account.client("codedeploy")
    name = account.physical("ServerlessDeploymentApplication")
    ids = codedeploy.list_deployments(applicationName=name)["deployments"][:10]
    states = [codedeploy.get_deployment(deploymentId=one)["deploymentInfo"]["status"] for one in ids]
    if not states:
        raise NotShown("CodeDeploy made none yet: deploy a second time, with a change")
    if "Failed" in states:
        raise NotShown(f"CodeDeploy: {', '.join(states)}")
    return f"CodeDeploy: {', '.join(states)}"


def again(account: Account) -> str:
    """Only when it is asked for by name: the API is away for minutes."""
    sluice = str(ROOT / ".venv" / "bin" / "sluice")
    subprocess.run([sluice, "destroy", "--stack", account.stack, "--yes"], check=True)
    given = [f"--parameter={name}={value}" for name, value in account.parameters.items()]
    subprocess.run([sluice, "deploy", "--stack", account.stack, "--no-smoke", *given], check=True)
    fresh = Account(account.client, account.stack, account.email, account.password)
    rows = fresh.web.need(200, "GET", "/usage/logs?limit=10", bearer=fresh.session).body["data"]
    return f"destroyed and deployed again; the person still logs in and has {len(rows)} records"
