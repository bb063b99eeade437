"""Two machines of this machine: two data directories and process trees over one `sluice store` and one bucket."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import requests

from infra.local.processes import recorded
from sluice.adapters.tokens.keys import ensure_keys
from tests.e2e import people
from tests.e2e.people import Person
from tests.e2e.place import own_environment
from tests.e2e.system import NAMES, ROOT, System
from tests.fakes.s3_server import s3_server
from tests.ports import free_port
from tests.waiting import eventually

SWEEP_SECONDS = 5
RPM = 20


@dataclass
class Machines:
    one: System
    other: System

    @property
    def both(self) -> tuple[System, System]:
        return self.one, self.other

    def newcomer(self) -> Person:
        """Whose mails either machine may have sent."""
        people.MAILBOXES[self.one.base_url] = lambda address: [
            mail for system in self.both for mail in people.outbox(system.base_url, address)
        ]
        return people.newcomer(self.one.base_url)


def at(system: System, person: Person) -> Person:
    """The same person, who calls that machine."""
    return replace(person, base_url=system.base_url)


def command(system: System, *words: str) -> str:
    """The output of `sluice` with these words, on that machine."""
    sluice = Path(sys.executable).with_name("sluice")
    done = subprocess.run(
        [sluice, *words], cwd=ROOT, env=system.environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def running_store_command(folder: Path) -> Iterator[str]:
    """`sluice store` as a user starts it → its URL."""
    port = free_port()
    words = [str(Path(sys.executable).with_name("sluice")), "store", "--listen", f"127.0.0.1:{port}"]
    with (folder / "store.out").open("wb") as out:
        environment = own_environment() | {"SLUICE_DATA_DIR": str(folder / "third")}
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=out, stderr=out)
        try:
            eventually(lambda: _answers(port) or process.poll() is not None)
            assert process.poll() is None, (folder / "store.out").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=2).status_code > 0
    except requests.RequestException:  # also one that is late
        return False


@contextmanager
def running(folder: Path) -> Iterator[Machines]:
    with running_store_command(folder) as store, s3_server() as bucket:
        shared = {
            "AWS_ENDPOINT_URL_DYNAMODB": store,
            "AWS_ENDPOINT_URL_S3": bucket,
            "SLUICE_DOCUMENTS_BUCKET": "documents",
            "SLUICE_DEFAULT_RPM": str(RPM),
            "SLUICE_SWEEP_SECONDS": str(SWEEP_SECONDS),
        }
        made = Machines(System(folder / "one", shared), System(folder / "other", shared))
        try:
            ensure_keys(made.one.data_dir)
            shutil.copytree(made.one.data_dir / "keys", made.other.data_dir / "keys")
            with ThreadPoolExecutor(2) as threads:  # at once, so both find a store without tables
                list(threads.map(System.start, made.both))
            yield made
        finally:
            for system in made.both:
                system.discard()


def kill_machine(system: System) -> None:
    """Every process at once, by SIGKILL, as when its power is cut."""
    pids = [recorded(system.data_dir / "run", name) for name in ("supervisor", *NAMES)]
    assert system.process is not None
    groups = [os.getpgid(pid) for pid in (system.process.pid, *filter(None, pids))]
    for group in groups:
        with suppress(ProcessLookupError):  # it ends with the supervisor, sooner than by this
            os.killpg(group, signal.SIGKILL)
    system.process.wait()
