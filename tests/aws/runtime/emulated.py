"""A packaged function under Amazon's runtime interface emulator and `awslambdaric`: an event in, its answer out."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.aws.built import layer_path
from tests.aws.runtime import tools
from tests.aws.runtime.processes import running
from tests.aws.runtime.town import Town
from tests.ports import free_port

START_SECONDS = 60.0
ANSWER_SECONDS = 120.0
PATH = "/2015-03-31/functions/function/invocations"


@dataclass
class Emulated:
    url: str
    log_file: Path

    def __call__(self, event: Any) -> Any:
        """The function's result, or the error in Lambda's format if it failed."""
        request = urllib.request.Request(self.url + PATH, json.dumps(event).encode())
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError:
                raise
            except urllib.error.URLError:  # not listening yet
                if time.monotonic() > until:
                    raise AssertionError(self.log()) from None
                time.sleep(0.02)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")


@contextmanager
def emulated(town: Town, build: Path, name: str, folder: Path, **more: str) -> Iterator[Emulated]:
    """`more`: variables beside the template's."""
    one = town.declared(name)
    task, layer = build / name, layer_path(build)
    environment = town.environment(name, **more) | {
        "PYTHONPATH": f"{layer}:{tools.runtime_client()}",
        "LAMBDA_TASK_ROOT": str(task),
        "_HANDLER": one.handler,
    }
    port, api_port = free_port(), free_port()
    addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    addresses += ["--runtime-api-address", f"127.0.0.1:{api_port}"]
    # -S: nothing of this machine's own packages; -B: the code folders are read-only on Lambda.
    function = [tools.PYTHON, "-S", "-B", "-m", "awslambdaric", one.handler]
    log = folder / f"{name}.log"
    with running([tools.emulator(), *addresses, *function], environment, task, log):
        yield Emulated(f"http://127.0.0.1:{port}", log)
