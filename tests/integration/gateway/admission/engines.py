"""The two engines the store suite runs on: Dynoxide, which a local run uses, and Amazon's own DynamoDB Local.

DynamoDB Local is the referee for every condition expression. It needs Java and is fetched once, by Maven, into
`.tools`: `python -m tests.integration.gateway.admission.engines` does so, and then the suite runs on both.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.ports import free_port
from tests.store_process import ROOT, running_store

REQUIRED = os.environ.get("SUITE_REQUIRED") == "1"
TOOLS = ROOT / ".tools"
LOOPBACK = "127.0.0.1"
READY_SECONDS = 120.0

REFEREE_VERSION = "2.6.1"
REFEREE = TOOLS / f"dynamodb-local-{REFEREE_VERSION}"
REFEREE_MAIN = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sluice</groupId><artifactId>referee</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>com.amazonaws</groupId><artifactId>DynamoDBLocal</artifactId><version>{REFEREE_VERSION}</version>
  </dependency></dependencies>
</project>
"""


@contextmanager
def dynoxide() -> Iterator[str]:
    """Runs Dynoxide in memory. Yields its address."""
    with running_store() as (url, _pid):
        yield url


def why_no_referee() -> str | None:
    """Why DynamoDB Local cannot run here, or None."""
    if shutil.which("java") is None:
        return "DynamoDB Local needs Java, and there is none on this machine"
    if not (REFEREE / "DynamoDBLocal.jar").is_file():
        return "DynamoDB Local is not in .tools: `python -m tests.integration.gateway.admission.engines` brings it"
    return None


def names() -> list[Any]:
    """The engines to run on: DynamoDB Local only if it is installed, or if SUITE_REQUIRED=1 says that it has to be. It
    is slow, so `make test` leaves it to `make test-aws`."""
    referee = [pytest.param("dynamodb_local", marks=pytest.mark.long)]
    return ["dynoxide", *(referee if REQUIRED or why_no_referee() is None else [])]


def need_referee() -> None:
    """Skips the test where DynamoDB Local cannot run, and fails it where SUITE_REQUIRED=1 says that it has to."""
    if reason := why_no_referee():
        (pytest.fail if REQUIRED else pytest.skip)(reason)


@contextmanager
def dynamodb_local() -> Iterator[str]:
    port = free_port()
    command = ["java", f"-Djava.library.path={REFEREE}", "-Xmx512m", "-cp", f"{REFEREE}/*", REFEREE_MAIN]
    with process([*command, "-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)], port):
        yield f"http://{LOOPBACK}:{port}"


@contextmanager
def process(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, child)
        yield child
    finally:
        child.kill()
        child.wait()


def wait_for(port: int, child: subprocess.Popen[bytes]) -> None:
    """Until the port is listened to. Raises RuntimeError."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
            return
        if child.poll() is not None:
            raise RuntimeError(f"{child.args!r} ended with {child.returncode}")
        time.sleep(0.02)
    raise RuntimeError(f"{child.args!r} does not listen")


def fetch_referee() -> None:
    """Everything DynamoDB Local needs, jars and native libraries, by Maven. Raises CalledProcessError."""
    draft = REFEREE.with_suffix(".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    (draft / "pom.xml").write_text(POM)
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={draft}", "-DincludeScope=runtime"]
    # Its native library is found by its bare name, hence the versions stripped.
    subprocess.run(["mvn", "-q", "-B", "-f", str(draft / "pom.xml"), *goal, "-Dmdep.stripVersion=true"], check=True)
    shutil.rmtree(REFEREE, ignore_errors=True)
    draft.rename(REFEREE)


if __name__ == "__main__":
    if why_no_referee() is None:
        sys.exit(0)
    if shutil.which("java") is None or shutil.which("mvn") is None:
        sys.exit("DynamoDB Local needs Java 17 and Maven: install both, or leave it: the suite then runs on Dynoxide")
    fetch_referee()
