"""Two workers on a queue that delivers everything twice, late and out of order: as if each message came once."""

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sluice.adapters.runs.queue import SPOOL
from tests.books import Books, disagreements, settled
from tests.chaos.conftest import SWEEP_SECONDS
from tests.chaos.test_runs import ENDED, Patient
from tests.e2e import people
from tests.e2e.system import ROOT, System
from tests.rounds import rounds

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]

RUNS = rounds(90, 30)
SEED = int(os.environ.get("SLUICE_KILL_SEED", str(random.SystemRandom().randrange(10**6))))
SECOND_NS = 1_000_000_000


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    group = os.getpgid(pid)
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


@contextmanager
def second_of(pid: int, log: Path) -> Iterator[None]:
    """Another process like this one: the same command in the same environment."""
    command, environment = (
        Path(f"/proc/{pid}/{name}").read_bytes().split(b"\0")[:-1] for name in ("cmdline", "environ")
    )
    variables = dict(one.split(b"=", 1) for one in environment)
    with log.open("wb") as printed:
        process = subprocess.Popen(command, env=variables, cwd=ROOT, stdout=printed, stderr=printed)
        try:
            yield
        finally:
            process.kill()
            process.wait()


def deliver_twice_and_out_of_order(queue: Path, dice: random.Random) -> None:
    """A name begins with the time from which on its message may be taken."""
    for file in queue.glob("*.json"):
        due, rest = file.name.split("-", 1)
        late, early = (int(due) + int(dice.uniform(*seconds) * SECOND_NS) for seconds in ((-20, 4), (-20, 0)))
        shutil.copy(file, queue / f"{late:020d}-{rest.replace('.', f'{dice.randrange(10**6)}.', 1)}")
        file.rename(queue / f"{early:020d}-{rest}")


def test_a_queue_that_delivers_everything_twice_and_out_of_order_changes_nothing(
    system: System, tmp_path: Path
) -> None:
    dice, queue = random.Random(SEED), system.data_dir / SPOOL
    patient = Patient(people.newcomer(system.base_url))
    worker = system.pid("worker")
    with stopped(worker):
        for place in range(RUNS):
            patient.submit(f"Write a paragraph on what an API is, number {place}.")
        assert len(patient.sent) == RUNS
        deliver_twice_and_out_of_order(queue, dice)
        assert len(list(queue.glob("*.json"))) == 2 * RUNS
    with second_of(worker, tmp_path / "second.log"):
        system.wait_until(lambda: not list(queue.glob("*.json")), 300)
        # A message is gone as soon as the other worker has seen that its run is being executed.
        system.wait_until(lambda: all(patient.read(one)["status"] in ENDED for one in patient.sent), 300)
    ended = {response_id: patient.read(response_id) for response_id in patient.sent}
    assert {one["status"] for one in ended.values()} <= ENDED - {"failed"}, f"seed {SEED}"

    books = settled(system, SWEEP_SECONDS)
    used = {"req_" + identifier[5:31].upper(): one["usage"]["total_tokens"] for identifier, one in ended.items()}
    assert sorted(record.request_id for record in books.ledger()) == sorted(used), f"seed {SEED}"
    assert {record.request_id: record.total_tokens for record in books.ledger()} == used
    assert disagreements(books.ledger(), books.grants(), books.rolled_up()) == []
    attempts = [(row["epoch"]["N"], row["deaths"]["N"]) for row in Books(system)._all("runs") if "epoch" in row]
    assert attempts == [("1", "0")] * RUNS, "each was executed once"
    assert "run not executed" not in (tmp_path / "second.log").read_text() + system.output()
