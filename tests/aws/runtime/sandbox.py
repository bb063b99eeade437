"""A streaming function as Lambda runs it: its program and the Web Adapter beside it, on a Runtime API that streams."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.aws.built import layer_path
from tests.aws.runtime import processes, tools
from tests.aws.runtime.processes import running
from tests.aws.runtime.runtime_api import Invocation, RuntimeApi, runtime_api
from tests.aws.runtime.town import Town
from tests.ports import free_port

# The whole of the layer's /opt/bootstrap, which AWS_LAMBDA_EXEC_WRAPPER names.
BOOTSTRAP = ["/bin/bash", "-c", 'exec -- "${LAMBDA_TASK_ROOT}/${_HANDLER}"']


@dataclass
class Sandbox:
    api: RuntimeApi
    adapter: "subprocess.Popen[bytes]"
    program: "subprocess.Popen[bytes]"
    log_file: Path

    def __call__(self, event: Any, seconds: float = 900.0, *, frozen_at_end: bool = False) -> Invocation:
        return self.api.invoke(event, seconds, self.freeze if frozen_at_end else None)

    def freeze(self) -> None:
        for process in (self.program, self.adapter):
            processes.freeze(process.pid)

    def thaw(self) -> None:
        for process in (self.program, self.adapter):
            processes.thaw(process.pid)

    def terminate(self) -> None:
        """Send SIGTERM to the function's program, as Lambda does at the end if an extension is registered."""
        self.program.send_signal(signal.SIGTERM)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")


@contextmanager
def sandbox(town: Town, build: Path, adapter: Path, folder: Path, **more: str) -> Iterator[Sandbox]:
    """The gateway from its package. `more`: variables beside the template's."""
    name = "GatewayFunction"
    with ExitStack() as stack:
        api = stack.enter_context(runtime_api())
        environment = town.environment(name, **more)
        environment |= {
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "LAMBDA_TASK_ROOT": str(build / name),
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "PYTHONPATH": "/var/runtime",
            "_HANDLER": town.declared(name).handler,
            "AWS_LWA_PORT": str(free_port()),
            "SLUICE_LAYER_DIR": str(layer_path(build)),  # where Lambda has /opt/python
            "PATH": f"{_python(folder)}{os.pathsep}{environment['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        log = folder / f"{name}.log"
        program = stack.enter_context(running(BOOTSTRAP, environment, folder, log))
        beside = stack.enter_context(running([adapter], environment, folder, log))
        yield Sandbox(api, beside, program, log)


def _python(folder: Path) -> Path:
    """A folder for PATH whose `python3` has no packages of this machine's."""
    binaries = folder / "bin"
    binaries.mkdir(exist_ok=True)
    script = binaries / "python3"
    script.write_text(f'#!/bin/sh\nexec "{tools.PYTHON}" -S "$@"\n')
    script.chmod(0o755)
    return binaries
