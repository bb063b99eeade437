"""A deployment that is looked at, and what a check may find."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic
from typing import Any

from infra.aws.stack import describe, table
from infra.demo.client import Client


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
