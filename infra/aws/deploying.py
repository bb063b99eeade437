"""`make deploy`: deploys to AWS, in steps that may each be repeated.

    tools → account → parameters → look → keys → build → data → deploy → store → first admin → smoke

After a failure, run it again: finished steps are repeated without effect, and a stack that was left half-made is
repaired before it is deployed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from infra.aws import building, looking, parameters
from infra.aws.building import DATA, ROOT
from infra.aws.keys import ParameterKeys
from infra.aws.looking import Finding, Looker
from infra.aws.smoke import Smoke, SmokeFailed
from infra.aws.stack import DeployError, data_stack, describe, repair, table
from infra.demo.client import Client

SLUICE = Path(sys.executable).with_name("sluice")
CONFIG = ROOT / "infra" / "aws" / "samconfig.toml"
Say = Callable[[str], None]
ASK_SECONDS = 60
HOW_TO_GET = {
    "sam": "the SAM command is missing: pip install aws-sam-cli (or brew install aws-sam-cli)",
    "docker": "Docker is missing, and the model's image is built with it. Install it, or deploy "
    "without: MODEL=bedrock:ID, or your own model server: --parameter InferenceUrl=https://…",
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

    def ask(self, words: Sequence[str]) -> str:
        """A program's standard output; empty if it fails, is missing or takes a minute."""
        try:
            return subprocess.run(words, capture_output=True, text=True, timeout=ASK_SECONDS, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            return ""


@dataclass
class Deployment:
    machine: Machine
    say: Say
    stack: str = "sluice"
    parameters: Mapping[str, str] = field(default_factory=dict)
    admin: str = ""
    password: str = ""
    smoke: bool = True
    model: str = ""
    """A short name for what serves the model (`parameters.of_model`); empty: as it is. Raises ValueError."""

    def __post_init__(self) -> None:
        if self.model:
            region = self.machine.client("sts").meta.region_name
            self.parameters = {**parameters.of_model(self.model, region), **self.parameters}

    def run(self) -> str:
        """Deploy, and return the URL. Raises StepFailed, botocore's errors, or ValueError for an unreadable key."""
        self._tools()
        self._account()
        self._check()
        self._look()
        self._keys()
        self._build()
        self._data()
        self._deploy()
        url = self._url()
        self._store()
        self._first_admin()
        self._smoke(url)
        return url

    # --- before anything is changed

    @property
    def _own_model(self) -> bool:
        return not self._in_force["InferenceUrl"]

    @cached_property
    def _in_force(self) -> dict[str, str]:
        """Every parameter: the value given now, else that of the stacks, else the template's default."""
        cloudformation = self.machine.client("cloudformation")
        found = parameters.defaults()
        for stack in (data_stack(self.stack), self.stack):
            old = table(describe(cloudformation, stack), "Parameters", "ParameterKey", "ParameterValue")
            found |= {name: value for name, value in old.items() if name in found}
        return found | dict(self.parameters)

    def _tools(self) -> None:
        for tool in ["sam", "docker"] if self._own_model else ["sam"]:
            if self.machine.which(tool) is None:
                raise StepFailed(HOW_TO_GET[tool])
        self.say("tools: all installed")

    def _account(self) -> None:
        client = self.machine.client("sts")
        identity = client.get_caller_identity()
        self.say(f"account: {identity['Account']}, as {identity['Arn']}, in {client.meta.region_name}")

    def _check(self) -> None:
        if self.admin and "AlarmMail" not in self.parameters and not self._in_force["AlarmMail"]:
            self.parameters = {**self.parameters, "AlarmMail": self.admin}  # somebody should hear of the bill
            self._in_force["AlarmMail"] = self.admin
        parameters.check(self.parameters, self._in_force)

    def look(self) -> list[Finding]:
        """What is there, and what a deployment would do about it. Changes nothing. Errors: botocore's."""
        machine = self.machine
        return Looker(machine.client, machine.ask, self.stack, self.parameters, self._in_force).look()

    def _look(self) -> None:
        """Takes over the parameters that suit the account. Raises StepFailed where a deployment would fail."""
        findings = self.look()
        for line in looking.table(findings):
            self.say(f"look: {line}")
        if stopping := [one for one in findings if one.stops]:
            raise StepFailed("; ".join(f"{one.what}: {one.found}, {one.then}" for one in stopping))
        chosen = {name: value for one in findings for name, value in one.sets.items()}
        self.parameters = {**chosen, **self.parameters}
        self._in_force.update(chosen)

    def _keys(self) -> None:
        path = self._in_force["KeyPath"]
        made = ParameterKeys(self.machine.client("ssm"), path).init()
        self.say(f"keys: {', '.join(made) if made else f'all below {path} already'}")

    # --- the stack

    def _build(self) -> None:
        template = building.write_template(self._own_model)
        words = building.build_words(template)
        words += ["--use-buildkit"] if self._own_model and self._has_buildkit() else []
        words += parameters.overrides({"Architecture": self._in_force["Architecture"]})
        self._must(words, "sam build")
        fast = building.compile_built()
        slow = (
            "built without all bytecode, because the functions' Python or its packages are missing; starts are slower"
        )
        self.say("build: built" if fast else f"build: {slow}")

    def _has_buildkit(self) -> bool:
        """Without it Docker builds the image's CUDA stages too, and throws them away."""
        sam, docker = self.machine.ask(["sam", "build", "--help"]), self.machine.ask(["docker", "buildx", "version"])
        if "--use-buildkit" in sam and docker:
            return True
        self.say("build: takes long and downloads CUDA, because this SAM or this Docker has no BuildKit; update them")
        return False

    def _data(self) -> None:
        """First without protection, so that a first deployment that fails is rolled back whole; then with it."""
        stack = data_stack(self.stack)
        self._repair(stack)
        if not self._exists(stack):
            self._sam_deploy(stack, DATA, {"Protection": "false"})
        self._sam_deploy(stack, DATA, {"Protection": "true"})
        self.say(f"data: the stack {stack} is up to date, its tables protected")

    def _deploy(self) -> None:
        self._repair(self.stack)
        shared = {
            name: self._in_force[name] for name in parameters.SHARED
        }  # an earlier attempt may have set the data's
        own = {**shared, "DataStack": data_stack(self.stack)}
        self._sam_deploy(self.stack, building.BUILD / "template.yaml", own)
        self.say(f"deploy: the stack {self.stack} is up to date")

    def _sam_deploy(self, stack: str, template: Path, own: Mapping[str, str]) -> None:
        words = ["sam", "deploy", "--config-file", str(CONFIG), "--template-file", str(template), "--stack-name", stack]
        self._must([*words, *parameters.overrides({**self.parameters, **own})], "sam deploy")

    def _repair(self, stack: str) -> None:
        try:
            repair(self.machine.client("cloudformation"), stack, lambda text: self.say(f"repair: {text}"))
        except DeployError as exc:
            raise StepFailed(str(exc)) from exc

    def _exists(self, stack: str) -> bool:
        """A stack whose first change set was never executed has no resources; SAM makes it as if it were not there."""
        found = describe(self.machine.client("cloudformation"), stack)
        return bool(found) and found["StackStatus"] != "REVIEW_IN_PROGRESS"

    def _must(self, words: Sequence[str], what: str) -> None:
        status = self.machine.run(words)
        if status:
            raise StepFailed(
                f"{what} ended with {status}; see its output above. Fix the cause and run `make deploy` again."
            )

    def _url(self) -> str:
        found = describe(self.machine.client("cloudformation"), self.stack)
        url = table(found, "Outputs", "OutputKey", "OutputValue").get("Url", "")
        if not url:
            raise StepFailed(f"the stack {self.stack} has no output Url")
        self.say(f"url: {url}")
        return url

    # --- the store, the admin, the smoke test

    @property
    def _environment(self) -> dict[str, str]:
        return {"SLUICE_STORE": "aws", "SLUICE_TABLE_PREFIX": self._in_force["TablePrefix"]}

    def _store(self) -> None:
        from infra.migrations.addresses import NotMigrated
        from infra.migrations.run import TablesAreTheStacks, migrate
        from infra.migrations.structure import WrongTable

        try:
            outcome = migrate(self.machine.client("dynamodb"), self._environment["SLUICE_TABLE_PREFIX"], tables=False)
        except (NotMigrated, TablesAreTheStacks, WrongTable) as exc:
            raise StepFailed(f"store: {exc}") from exc
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
