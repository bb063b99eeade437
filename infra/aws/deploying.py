"""`make deploy`: deploys to AWS, in steps that may each be repeated.

    tools → account → keys → build → deploy → store → first admin → smoke

After a failure, run it again: finished steps are repeated without effect.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.aws import building
from infra.aws.building import ROOT
from infra.aws.keys import ParameterKeys
from infra.aws.smoke import Smoke, SmokeFailed
from infra.aws.stack import describe, table
from infra.demo.client import Client

SLUICE = Path(sys.executable).with_name("sluice")
CONFIG = ROOT / "infra" / "aws" / "samconfig.toml"
Say = Callable[[str], None]
HOW_TO_GET = {
    "sam": "the SAM command is missing: pip install aws-sam-cli (or brew install aws-sam-cli)",
    "docker": "Docker is missing, and the model's image is built with it. Install it, or use your own model "
    "server: --parameter InferenceUrl=https://…",
}


class StepFailed(Exception):
    """Why a step failed, in sentences for the terminal."""


@dataclass
class Machine:
    """Runs programs and makes AWS clients. Tests use a fake."""

    client: Callable[[str], Any]
    which: Callable[[str], str | None] = shutil.which

    def run(self, words: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None) -> int:
        """Run a program and return its exit status. Its output goes to the terminal."""
        return subprocess.run(
            words, cwd=ROOT, input=stdin or None, text=True, env={**os.environ, **(env or {})}
        ).returncode


@dataclass
class Deployment:
    machine: Machine
    say: Say
    stack: str = "sluice"
    parameters: Mapping[str, str] = field(default_factory=dict)
    admin: str = ""
    password: str = ""
    smoke: bool = True

    def run(self) -> str:
        """Deploy, and return the URL. Raises StepFailed, botocore's errors, or ValueError for an unreadable key."""
        self._tools()
        self._account()
        self._keys()
        self._build()
        self._deploy()
        url = self._url()
        self._store()
        self._first_admin()
        self._smoke(url)
        return url

    # --- before anything is changed

    @property
    def _own_model(self) -> bool:
        return not self._parameter("InferenceUrl", "")

    def _parameter(self, name: str, default: str) -> str:
        """The value given now, else the stack's, else `default`."""
        return self.parameters.get(name) or self._of_stack("Parameters", "ParameterKey", "ParameterValue").get(
            name, default
        )

    def _tools(self) -> None:
        for tool in ["sam", "docker"] if self._own_model else ["sam"]:
            if self.machine.which(tool) is None:
                raise StepFailed(HOW_TO_GET[tool])
        self.say("tools: all installed")

    def _account(self) -> None:
        client = self.machine.client("sts")
        identity = client.get_caller_identity()
        self.say(f"account: {identity['Account']}, as {identity['Arn']}, in {client.meta.region_name}")

    def _keys(self) -> None:
        path = self._parameter("KeyPath", "/sluice")
        made = ParameterKeys(self.machine.client("ssm"), path).init()
        self.say(f"keys: {', '.join(made) if made else f'all below {path} already'}")

    # --- the stack

    def _build(self) -> None:
        template = building.write_template(self._own_model)
        words = building.build_words(template)
        if architecture := self.parameters.get("Architecture"):
            words += ["--parameter-overrides", f"Architecture={architecture}"]
        self._must(words, "sam build")
        fast = building.compile_built()
        slow = "built without bytecode, because this Python is not the functions' version; their cold starts are slower"
        self.say("build: built" if fast else f"build: {slow}")

    def _deploy(self) -> None:
        built = str(building.BUILD / "template.yaml")
        words = ["sam", "deploy", "--config-file", str(CONFIG), "--template-file", built, "--stack-name", self.stack]
        if self.parameters:
            words += ["--parameter-overrides", *(f"{name}={value}" for name, value in self.parameters.items())]
        self._must(words, "sam deploy")
        self.say(f"deploy: the stack {self.stack} is up to date")

    def _must(self, words: Sequence[str], what: str) -> None:
        status = self.machine.run(words)
        if status:
            raise StepFailed(
                f"{what} ended with {status}; see its output above. Fix the cause and run `make deploy` again."
            )

    def _url(self) -> str:
        url = self._of_stack("Outputs", "OutputKey", "OutputValue").get("Url", "")
        if not url:
            raise StepFailed(f"the stack {self.stack} has no output Url")
        self.say(f"url: {url}")
        return url

    def _of_stack(self, what: str, key: str, value: str) -> dict[str, str]:
        """Parameters or outputs of the stack; empty while it does not exist."""
        return table(describe(self.machine.client("cloudformation"), self.stack), what, key, value)

    # --- the store, the admin, the smoke test

    @property
    def _environment(self) -> dict[str, str]:
        return {"SLUICE_STORE": "aws", "SLUICE_TABLE_PREFIX": self._parameter("TablePrefix", "sluice-")}

    def _store(self) -> None:
        from infra.migrations.run import migrate

        outcome = migrate(self.machine.client("dynamodb"), self._environment["SLUICE_TABLE_PREFIX"], tables=False)
        self.say(f"store: schema {outcome.to_version}, {outcome.items} items changed")

    def _first_admin(self) -> None:
        if not self.admin:
            self.say("admin: none requested; to make one: SLUICE_STORE=aws sluice admin create EMAIL")
            return
        words = [str(SLUICE), "admin", "create", self.admin, "--password-stdin"]
        if self.machine.run(words, stdin=self.password + "\n", env=self._environment):
            raise StepFailed(f"{self.admin} was not made an admin; see the message above")
        self.say(f"admin: {self.admin}")

    def _smoke(self, url: str) -> None:
        if not self.smoke:
            return
        try:
            Smoke(Client(url), lambda text: self.say(f"smoke: {text}")).run(self.admin, self.password)
        except SmokeFailed as exc:
            raise StepFailed(f"deployed, but not as promised: {exc}") from exc
