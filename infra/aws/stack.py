"""Deploys a transformed template to any endpoint with CloudFormation and S3: AWS, LocalStack, an emulator."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infra.aws.transform import Template

Say = Callable[[str], None]
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
DEPLOY_SECONDS = 600.0
POLL_SECONDS = 0.2
BROKEN = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")  # can only be deleted
SETTLING_SECONDS, PAUSE_SECONDS = 1800.0, 5.0


class DeployError(Exception):
    """The deployment failed. The message lists the failed events."""


class Bucket:
    """The bucket for packages and templates. Object names are hashes of the content."""

    def __init__(self, s3: Any, name: str) -> None:
        self._s3, self.name = s3, name

    def make(self) -> "Bucket":
        self._s3.create_bucket(Bucket=self.name)
        return self

    def put(self, content: bytes, ending: str) -> str:
        """Upload, and return the S3 URI."""
        key = hashlib.sha256(content).hexdigest() + ending
        self._s3.put_object(Bucket=self.name, Key=key, Body=content)
        return f"s3://{self.name}/{key}"

    def put_file(self, path: Path) -> str:
        """Upload, and return the S3 URI; of a template its HTTP address."""
        uri = self.put(path.read_bytes(), path.suffix)
        return self.url(uri) if path.suffix == ".yaml" else uri

    def url(self, uri: str) -> str:
        """The HTTP address for CloudFormation, which takes 1 MB from a bucket, but 51,200 bytes in a call."""
        endpoint = str(self._s3.meta.endpoint_url).rstrip("/")
        return f"{endpoint}/{uri.removeprefix('s3://')}"


def data_stack(name: str) -> str:
    """The name of the stack of infra/aws/data.yaml, for the application's stack `name`."""
    return f"{name}-data"


def deploy(
    cloudformation: Any, bucket: Bucket, name: str, template: Template, parameters: Mapping[str, str]
) -> dict[str, str]:
    """Create or update the stack, and return its outputs. Raises DeployError.

    A parameter that an existing stack has and `parameters` does not name keeps its value. Parameters that the template
    does not have are left out.
    """
    existing = describe(cloudformation, name)
    wanted = {key: value for key, value in parameters.items() if key in template.get("Parameters", {})}
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in wanted.items()]
    old = table(existing, "Parameters", "ParameterKey", "ParameterValue")
    kept = [
        {"ParameterKey": key, "UsePreviousValue": True}
        for key in template.get("Parameters", {})
        if key in old and key not in parameters
    ]
    call = cloudformation.update_stack if existing else cloudformation.create_stack
    url = bucket.url(bucket.put(json.dumps(template).encode(), ".json"))
    try:
        call(StackName=name, TemplateURL=url, Capabilities=CAPABILITIES, Parameters=given + kept)
    except cloudformation.exceptions.ClientError as exc:
        if "No updates are to be performed" not in str(exc):
            raise DeployError(str(exc)) from exc
    else:
        _wait(cloudformation, name)
    return table(describe(cloudformation, name), "Outputs", "OutputKey", "OutputValue")


def describe(cloudformation: Any, name: str) -> dict[str, Any]:
    """The stack; empty while it does not exist. Raises botocore's errors."""
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except cloudformation.exceptions.ClientError as exc:
        if "does not exist" in str(exc):
            return {}
        raise
    return dict(stack)


def table(stack: Mapping[str, Any], what: str, key: str, value: str) -> dict[str, str]:
    """The parameters or outputs of a described stack."""
    return {one[key]: one.get(value, "") for one in stack.get(what, [])}


def resources(cloudformation: Any, name: str) -> dict[str, str]:
    """The physical id of each logical id."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"] for page in pages for one in page["StackResourceSummaries"]
    }


def repair(cloudformation: Any, name: str, say: Say, sleep: Callable[[float], None] = time.sleep) -> None:
    """Bring a stack of an earlier attempt into a state that can be deployed. Raises DeployError, botocore's errors.

    A change that is under way is waited for. A stack whose first deployment failed is deleted: nothing of it runs, and
    data.yaml retains what holds data. A rollback that stopped is continued.
    """
    status = _settled(cloudformation, name, say, sleep)
    if status in BROKEN:
        say(f"{name} is {status} after an earlier attempt: deleting it, to make it anew")
        cloudformation.delete_stack(StackName=name)
        status = _settled(cloudformation, name, say, sleep)
    elif status == "UPDATE_ROLLBACK_FAILED":
        say(f"{name} is {status}: continuing that rollback")
        cloudformation.continue_update_rollback(StackName=name)
        status = _settled(cloudformation, name, say, sleep)
    if status in BROKEN or status == "UPDATE_ROLLBACK_FAILED":
        raise DeployError(f"{name} is still {status}:\n" + "\n".join(_failures(cloudformation, name)))


def _settled(cloudformation: Any, name: str, say: Say, sleep: Callable[[float], None]) -> str:
    """The stack's status once no change is under way; empty when there is no stack. Raises DeployError."""
    for pause in range(int(SETTLING_SECONDS / PAUSE_SECONDS)):
        status = str(describe(cloudformation, name).get("StackStatus", ""))
        if not status.endswith("IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":  # the latter: nothing was made yet
            return "" if status in ("DELETE_COMPLETE", "REVIEW_IN_PROGRESS") else status
        if not pause:
            say(f"{name} is {status}: waiting for that to end")
        sleep(PAUSE_SECONDS)
    raise DeployError(
        f"{name} is still {status} after {SETTLING_SECONDS / 60:.0f} minutes; see CloudFormation's console"
    )


def _wait(cloudformation: Any, name: str) -> None:
    until = time.monotonic() + DEPLOY_SECONDS
    while (status := str(describe(cloudformation, name).get("StackStatus"))).endswith("IN_PROGRESS"):
        if time.monotonic() > until:
            raise DeployError(f"{name} is still {status} after {DEPLOY_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeployError(f"{name} is {status}:\n" + "\n".join(_failures(cloudformation, name)))


def _failures(cloudformation: Any, name: str) -> list[str]:
    """Failed events, oldest first, including those of the stack itself (such as a wrong reference)."""
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return [
        f"{event['LogicalResourceId']} ({event['ResourceType']}): {event['ResourceStatusReason']}"
        for event in reversed(events)
        if event.get("ResourceStatusReason") and event["ResourceStatus"].endswith(("FAILED", "ROLLBACK_IN_PROGRESS"))
    ]
