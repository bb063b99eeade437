"""One ministack: the AWS services of the template on one port of this machine, with functions as its processes."""

import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.session import get_session

from tests.aws.conftest import missing
from tests.aws.runtime.tools import why_no_adapter, why_no_python
from tests.aws.tools.install import install
from tests.ports import free_port

PROGRAM = Path(__file__).with_name("program.py")
START_SECONDS = 180.0
REGION = "us-east-1"
# The deployer is the account itself; functions get keys of their roles, and ministack enforces their policies.
ROOT_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@dataclass(frozen=True)
class Emulator:
    url: str
    pid: int
    log: Path

    @property
    def keys(self) -> dict[str, str]:
        """The environment variables with which AWS's tools and ours find it."""
        region = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        return {"AWS_ENDPOINT_URL": self.url, **region, **ROOT_KEYS}

    def client(self, service: str, keys: tuple[str, str, str | None] = ("test", "test", None)) -> Any:
        """A client of botocore, with the deployer's keys or others. The caller closes it."""
        return get_session().create_client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            aws_session_token=keys[2],
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def sent_to(self, address: str) -> list[dict[str, Any]]:
        """The mails that SES got for this address, oldest first."""
        with urllib.request.urlopen(f"{self.url}/_ministack/ses/messages", timeout=60) as answer:
            told = json.load(answer)["messages"]
        return [mail for mails in told.values() for mail in mails if address in mail["To"]]

    def tail(self, lines: int = 40) -> str:
        """The end of its output, which has the functions' standard error."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _installed() -> Path:
    """ministack's command. It ends the test, by `missing`, where a tool that a deployment needs is missing."""
    try:
        program = install("ministack")
    except (OSError, subprocess.SubprocessError) as exc:
        missing(f"ministack cannot be installed: {exc}")
    if why_not := why_no_python() or why_no_adapter():
        missing(why_not)
    return program


@contextmanager
def running(folder: Path) -> Iterator[Emulator]:
    """Stopped by its own pid, with every function it started. It fails or skips the test where a tool is missing."""
    program, port = _installed(), free_port()
    log = folder / "ministack.log"
    with log.open("wb") as printed, tempfile.TemporaryDirectory(dir=folder) as scratch:
        process = subprocess.Popen(
            [program.with_name("python"), PROGRAM],
            env=_environment(program.parent, port, scratch),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the functions' processes share its group: none outlives it
        )
        try:
            _wait_ready(process, f"http://127.0.0.1:{port}", log)
            yield Emulator(f"http://127.0.0.1:{port}", process.pid, log)
        finally:
            _stop(process)


def _environment(programs: Path, port: int, scratch: str) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}"
    return {
        **ROOT_KEYS,
        "PATH": f"{programs}{os.pathsep}{os.defpath}",  # so that a function's `python3` has its build's version
        "HOME": scratch,
        "TMPDIR": scratch,  # packages are unpacked there
        "BIND_HOST": "127.0.0.1",  # else it listens on every address
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "AWS_ENDPOINT_URL": url,  # the address by which functions reach AWS
        "AUTH": "true",  # signatures are checked, and each role's policies
        "PYTHONUNBUFFERED": "1",
    }


def _wait_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, f"ministack ended:\n{log.read_text()}"
        assert time.monotonic() < until, f"ministack does not answer:\n{log.read_text()}"
        try:
            urllib.request.urlopen(f"{url}/_ministack/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Kills it with every function it started; its own shutdown takes many seconds, and no data is kept."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
