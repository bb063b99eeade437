"""Sluice, deployed to the emulator, with helpers to inspect it."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.aws.building import DATA
from infra.aws.stack import Bucket, data_stack, deploy, resources
from infra.aws.transform import read
from tests.aws.emulator.command import sluice
from tests.aws.emulator.packages import deployable, known
from tests.aws.emulator.server import Emulator

NAME = "sluice"
STAGE = "live"
MAIL_DOMAIN = "sluice.test"
SENDER = f"no-reply@{MAIL_DOMAIN}"
MAIL_SECONDS = 120.0  # the first mail waits for the mailer's first start


EVENT_BUS = "sluice-events"


def parameters(model_url: str) -> dict[str, str]:
    return {
        "Architecture": "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64",
        "InferenceUrl": model_url,
        "MailDomain": MAIL_DOMAIN,
        "MailFrom": f"Sluice <{SENDER}>",
        "EventBus": EVENT_BUS,
        "GradualDeployment": "false",  # there is no CodeDeploy
        "ApiRate": "500",  # the emulator throttles, and the tests call more often than a small group
        "ApiBurst": "1000",
    }


@dataclass
class Deployment:
    emulator: Emulator
    build: Path
    scratch: Path
    parameters: dict[str, str]
    throttles: bool = True  # of logins; off for suites that log in often
    physical: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        """The stage's address in the emulator; the stack's output has the address that it would have on AWS."""
        return f"{self.emulator.url}/_aws/execute-api/{self.physical['Api']}/{STAGE}"

    @property
    def table_prefix(self) -> str:
        return self.physical["AccountsTable"].removesuffix("accounts")

    @contextmanager
    def client(self, service: str) -> Iterator[Any]:
        client = self.emulator.client(service)
        try:
            yield client
        finally:
            client.close()

    def prepare(self) -> None:
        """The steps of docs/deploy.md before the first deployment."""
        sluice(self.emulator, "keys", "init", "--aws")
        with self.client("events") as events:
            events.create_event_bus(Name=EVENT_BUS)

    def deploy(self, **parameters: str) -> None:
        """Create the stack, or update it with these parameters and the earlier ones."""
        self.parameters |= parameters
        with self.client("s3") as s3, self.client("cloudformation") as cloudformation:
            bucket = Bucket(s3, "packages").make()
            stack = data_stack(NAME)
            deploy(cloudformation, bucket, stack, known(read(DATA)), self.parameters)
            template = deployable(self.build, self.scratch, bucket, self.parameters, throttles=self.throttles)
            self.outputs = deploy(cloudformation, bucket, NAME, template, {**self.parameters, "DataStack": stack})
            self.physical = resources(cloudformation, NAME) | resources(cloudformation, stack)

    # --- inspecting the deployment

    def items(self, table: str, **key: str) -> list[dict[str, Any]]:
        """The items of a table (by logical id) in DynamoDB's JSON; with `key`, those with these attribute values."""
        with self.client("dynamodb") as dynamodb:
            pages = dynamodb.get_paginator("scan").paginate(TableName=self.physical[table], ConsistentRead=True)
            found = [item for page in pages for item in page["Items"]]
        return [item for item in found if all(item.get(name) == {"S": value} for name, value in key.items())]

    def mails_to(self, address: str, count: int = 1, seconds: float = MAIL_SECONDS) -> list[dict[str, Any]]:
        """The mails that SES got for this address, oldest first. Waits until there are that many."""
        self.wait_until(lambda: len(self.sent_to(address)) >= count, seconds, f"{count} mails to {address}")
        return self.sent_to(address)

    def sent_to(self, address: str) -> list[dict[str, Any]]:
        return self.emulator.sent_to(address)

    def wait_until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"waited {seconds:.0f} s in vain for {what}:\n{self.emulator.tail()}"
            time.sleep(0.2)
