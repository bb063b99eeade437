"""`kill -9` of each process at random moments under load: afterwards ledger, roll-ups and grants agree.

`SLUICE_KILLS` sets how often each process is killed (3 in `make test-full`, else 2), `SLUICE_KILL_SEED` the moments.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.domain.usage.ledger import LedgerRecord
from tests.books import disagreements, reconciled, settled
from tests.chaos.load import Answers, Load
from tests.e2e import people
from tests.e2e.system import NAMES, System
from tests.rounds import rounds

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("SLUICE_KILLS", rounds(3, 2)))
SEED = int(os.environ.get("SLUICE_KILL_SEED", str(random.SystemRandom().randrange(10**6))))
ACCOUNTS, CALLERS = 3, 2
SWEEP_SECONDS = 5


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    running = System(tmp_path / "data", {"SLUICE_SWEEP_SECONDS": str(SWEEP_SECONDS)})
    try:
        yield running.start()
    finally:
        running.stop()


def _kill(system: System, name: str) -> int:
    """Kills the process and its children, because a gunicorn worker that lives on would clean up after its master."""
    pid = system.pid(name)
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    return pid


def test_the_books_agree_after_kills_of_every_process_under_load(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(SEED)
    persons = {person.email: person for person in (people.newcomer(system.base_url) for _ in range(ACCOUNTS))}
    load = Load(list(persons.values()), CALLERS, SEED).start()
    try:
        for name in dice.sample(NAMES * KILLS, len(NAMES) * KILLS):
            time.sleep(dice.uniform(0.2, 1.2))
            system.wait_restarted(name, _kill(system, name), 60)
        time.sleep(1)
    finally:
        load.stop()

    books = settled(system, SWEEP_SECONDS)
    ledger, grants, sums = books.ledger(), books.grants(), books.rolled_up()
    all_answers = list(load.answers.values())
    with capsys.disabled():
        print(f"\n  {KILLS} kills each (seed {SEED}): {_summary(all_answers, ledger)}")

    _each_admitted_request_has_its_one_record(all_answers, ledger)
    assert len(grants) == ACCOUNTS
    assert disagreements(ledger, grants, sums) == []
    assert "0 differences" in reconciled(system)


def _each_admitted_request_has_its_one_record(all_answers: list[Answers], ledger: list[LedgerRecord]) -> None:
    recorded = {record.request_id: record for record in ledger}
    assert len(recorded) == len(ledger)
    answered = {identifier: status for one in all_answers for identifier, status in one.statuses.items()}
    # A request that was answered with 200 was admitted.
    assert {identifier for identifier, status in answered.items() if status == 200} <= recorded.keys()
    # A caller that got usage was charged exactly that usage.
    for one in all_answers:
        for identifier, tokens in one.whole_tokens.items():
            assert recorded[identifier].total_tokens == tokens
    # Every record without an answered request belongs to a request that was killed before it was answered.
    assert len(recorded.keys() - answered.keys()) <= sum(one.silent for one in all_answers)
    # The load was real: every kind of answer occurs.
    assert sum(one.count(200) for one in all_answers) > 20 * KILLS
    assert any(record.settled_by == "sweeper" for record in ledger)
    assert any(record.status == 499 for record in ledger)


def _summary(all_answers: list[Answers], ledger: list[LedgerRecord]) -> str:
    statuses = sorted({status for one in all_answers for status in one.statuses.values()})
    answers = ", ".join(f"{sum(one.count(status) for one in all_answers)} x {status}" for status in statuses)
    swept = sum(record.settled_by == "sweeper" for record in ledger)
    silent = sum(one.silent for one in all_answers)
    return f"answers {answers}, {silent} without; {len(ledger)} records, {swept} of them by the sweeper"
