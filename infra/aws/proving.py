"""`make prove-aws`: what only a real account can show. One check for each row of "Never seen" in docs/claims.md.

A check returns what it saw, in words without names, addresses or secrets, because the table is meant to be sent in.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic
from typing import Any

from infra.aws.building import ROOT
from infra.aws.destroying import documents_bucket
from infra.aws.smoke import Smoke, SmokeFailed
from infra.aws.stack import describe, table
from infra.aws.transform import read
from infra.demo.client import Client, DemoError

DAY_SECONDS = 86_400
METRICS = {"tokens", "first_token_seconds", "spend_micro_usd", "admission_seconds"}
SIMULATED = ("success@simulator.amazonses.com", "bounce@simulator.amazonses.com")
AT_ONCE, RPM = 20, 5
LEAST_SECONDS = 0.1


class NotShown(Exception):
    """The account showed something else than what is claimed."""


class Skipped(Exception):
    """The deployment has no such part."""


@dataclass
class Account:
    """A deployment, and a person of it who is an admin. `client` makes AWS clients."""

    client: Callable[[str], Any]
    stack: str
    email: str
    password: str
    wait_seconds: float = 300.0
    sleep: Callable[[float], None] = time.sleep
    began_s: float = field(default_factory=time.time)

    @cached_property
    def _stack(self) -> Any:
        return describe(self.client("cloudformation"), self.stack)

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        return table(self._stack, "Parameters", "ParameterKey", "ParameterValue")

    @cached_property
    def web(self) -> Client:
        return Client(table(self._stack, "Outputs", "OutputKey", "OutputValue")["Url"])

    @cached_property
    def session(self) -> str:
        body = {"email": self.email, "password": self.password}
        return str(self.web.need(200, "POST", "/auth/login", body).body["session"]["token"])

    def token(self) -> tuple[str, str]:
        """A new API token for an hour, and its id."""
        wanted = {"name": "prove-aws", "expires_in": "1h"}
        issued = self.web.need(201, "POST", "/tokens", wanted, self.session).body
        return str(issued["token"]), str(issued["id"])

    def physical(self, logical: str) -> str:
        """Errors: botocore's, for a resource that is not in the stack."""
        found = self.client("cloudformation").describe_stack_resource(StackName=self.stack, LogicalResourceId=logical)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def until(self, seen: Callable[[], Any], what: str) -> Any:
        """Ask until the answer is true. Raises NotShown."""
        end = monotonic() + self.wait_seconds
        while not (answer := seen()):
            if monotonic() > end:
                raise NotShown(f"{what}: not within {self.wait_seconds:.0f} s")
            self.sleep(5)
        return answer


Check = Callable[[Account], str]


def whole_path(account: Account) -> str:
    said: list[str] = []
    Smoke(account.web, said.append).run(account.email, account.password)
    return f"{len(said)} steps, the last: {said[-1]}"


def streams(account: Account) -> str:
    """By the ledger's own times of the answer. The demo model may be too fast to tell."""
    token, token_id = account.token()
    model = account.web.need(200, "GET", "/v1/models", bearer=token).body["data"][0]["id"]
    question = [{"role": "user", "content": "What is an API?"}]
    body = {"model": model, "messages": question, "stream": True, "max_tokens": 200}
    began, times = monotonic(), []
    for chunk in account.web.stream("/v1/chat/completions", body, token):
        if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
            times.append(monotonic() - began)
    if not times:
        raise NotShown("no text came")
    seen = f"{len(times)} pieces, the first after {times[0]:.2f} s, the last after {times[-1]:.2f} s"
    path = f"/usage/logs?limit=1&token_id={token_id}"
    (row,) = account.until(lambda: account.web.need(200, "GET", path, bearer=account.session).body["data"], "the log")
    made_seconds = (row["response_time_ms"] - row["ttft_ms"]) / 1000
    if made_seconds < LEAST_SECONDS:
        raise Skipped(f"{seen}; the model made them within {made_seconds:.2f} s, too fast to tell")
    if times[-1] - times[0] < made_seconds / 2:
        raise NotShown(f"{seen}; the model made them within {made_seconds:.2f} s")
    return seen


def limits(account: Account) -> str:
    web, session = account.web, account.session
    who = web.need(200, "GET", "/account", bearer=session).body["id"]
    path = f"/admin/users/{who}"
    before = web.need(200, "GET", path, bearer=session).body["limits"]
    kept = {name: before[name] for name in ("rpm", "concurrency")}
    token, token_id = account.token()
    model = web.need(200, "GET", "/v1/models", bearer=token).body["data"][0]["id"]
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    web.need(200, "PUT", f"{path}/limits", {"rpm": RPM, "concurrency": AT_ONCE}, session)
    began = monotonic()
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = [pool.submit(web.call, "POST", "/v1/chat/completions", body, token) for _ in range(AT_ONCE)]
        statuses = [one.result().status for one in asked]
    finally:
        web.need(200, "PUT", f"{path}/limits", kept, session)
    most = RPM + int((monotonic() - began) * RPM / 60)  # the bucket refills meanwhile
    logged = web.need(200, "GET", f"/usage/logs?limit=100&token_id={token_id}", bearer=session).body["data"]
    passed, refused = statuses.count(200), statuses.count(429)
    seen = (
        f"of {AT_ONCE} at once at {RPM} a minute {passed} passed, {refused} were refused; {len(logged)} are in the log"
    )
    if not 1 <= passed <= most or not refused or len(logged) < passed or len(logged) > most:
        raise NotShown(seen)
    return seen


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


def throttles(account: Account) -> str:
    with ThreadPoolExecutor(60) as pool:
        answers = [one.result() for one in [pool.submit(account.web.call, "GET", "/healthz") for _ in range(120)]]
    refused = [answer for answer in answers if answer.status == 429]
    if not refused or refused[0].body["error"]["code"] != "rate_limit_exceeded":
        raise NotShown(f"of {len(answers)} calls of /healthz at once {len(refused)} were 429")
    return f"of {len(answers)} calls of /healthz at once {len(refused)} were 429, in both error formats"


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


def wrong_method(account: Account) -> str:
    status = account.web.call("DELETE", "/v1/models").status
    if status != 404:
        raise NotShown(f"DELETE /v1/models is a {status}")
    return "DELETE /v1/models is a 404"


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


CHECKS: dict[str, Check] = {
    check.__name__.replace("_", "-"): check
    for check in (
        whole_path, streams, limits, mail, documents, alarms, metrics, cold_starts, throttles, function_url,
        wrong_method, rollouts, again,
    )
}  # fmt: skip
ONLY_IF_ASKED = frozenset({"again"})


@dataclass(frozen=True)
class Row:
    name: str
    result: str  # shown, failed or skipped
    seen: str
    seconds: float


def prove(account: Account, names: tuple[str, ...] = ()) -> Iterator[Row]:
    """Run the named checks, or all but those that must be asked for. One that fails stops no other."""
    for name in names or [name for name in CHECKS if name not in ONLY_IF_ASKED]:
        began = monotonic()
        try:
            result, seen = "shown", CHECKS[name](account)
        except Skipped as exc:
            result, seen = "skipped", str(exc)
        except (NotShown, SmokeFailed, DemoError) as exc:
            result, seen = "failed", str(exc)
        except Exception as exc:  # of AWS: a denied call is a row of the table, too
            code = getattr(exc, "response", {}).get("Error", {}).get("Code", "")
            result, seen = "failed", f"{type(exc).__name__} {code}".strip()
        yield Row(name, result, seen.replace(account.email, "EMAIL"), monotonic() - began)
