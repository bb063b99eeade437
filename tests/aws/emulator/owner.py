"""Who deploys and deletes as docs/deploy.md says: `sluice deploy` and `sluice destroy` against the emulator.

`sam delete` is SAM's own. `sam build` is done already. `infra.aws.stack` stands for `sam deploy`, which waits half a
minute for each stack.
"""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.aws.building import DATA, ROOT
from infra.aws.deploying import SLUICE, Machine
from infra.aws.stack import Bucket, DeployError, deploy
from infra.aws.transform import Template, read
from tests.aws.emulator.packages import deployable, known
from tests.aws.emulator.server import Emulator
from tests.aws.tools.install import install
from tests.e2e.place import own_environment

SECONDS = 600


class Owner(Machine):
    """`broken`: resources that are added to the application's template. `printed`: what SAM would have printed."""

    def __init__(self, emulator: Emulator, build: Path, scratch: Path) -> None:
        self._clients: dict[str, Any] = {}
        super().__init__(lambda name: self._clients.setdefault(name, emulator.client(name)), lambda tool: tool)
        self.printed = ""
        self.broken: dict[str, Any] = {}
        self._build, self._scratch = build, scratch
        path = f"{install('sam').parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = own_environment() | emulator.keys | {"PATH": path, "SAM_CLI_TELEMETRY": "0"}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def run(self, words: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None) -> int:
        if words[0] == "sam":
            return 0 if words[1] == "build" else self._sam_deploy(words)
        environment = self.environment | dict(env or {})
        done = subprocess.run([SLUICE, *words[1:]], cwd=ROOT, input=stdin, env=environment, text=True, timeout=SECONDS)
        return done.returncode

    def _sam_deploy(self, words: Sequence[str]) -> int:
        given = dict(re.findall(r'(\w+)="([^"]*)"', " ".join(words)))
        named = {name: words[words.index(f"--{name}") + 1] for name in ("stack-name", "template-file")}
        bucket = Bucket(self.client("s3"), "packages").make()
        template = known(read(DATA)) if named["template-file"] == str(DATA) else self._app(bucket, given)
        try:
            deploy(self.client("cloudformation"), bucket, named["stack-name"], template, given)
        except DeployError as exc:
            self.printed += str(exc)
            return 1
        return 0

    def _app(self, bucket: Bucket, given: dict[str, str]) -> Template:
        made = deployable(self._build, self._scratch, bucket, given)
        made["Resources"] |= self.broken
        return made
