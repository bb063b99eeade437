"""`kill -9` of each process at random moments under load: afterwards ledger, roll-ups and grants agree.

`SLUICE_KILLS` sets how often each process is killed (3 in `make test-full`, else 1), `SLUICE_KILL_SEED` the moments.
"""

import os
import random
import signal
import time

import pytest

from tests.books import (
    Books,
    disagreements,
    each_admitted_request_has_its_one_record,
    kill_group,
    reconciled,
    settled,
    summary,
)
from tests.chaos.conftest import SWEEP_SECONDS
from tests.chaos.load import Load
from tests.e2e import people
from tests.e2e.system import NAMES, System
from tests.rounds import rounds

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1800)]

KILLS = int(os.environ.get("SLUICE_KILLS", rounds(3, 1)))
SEED = int(os.environ.get("SLUICE_KILL_SEED", str(random.SystemRandom().randrange(10**6))))
ACCOUNTS, CALLERS = 3, 2


def killed_while_asking(system: System) -> int:
    """Kills the app while the model holds a request, so that its lease is certainly left to the sweeper."""
    books, model = Books(system), os.getpgid(system.pid("inference"))
    os.killpg(model, signal.SIGSTOP)
    try:
        system.wait_until(books.held, 120)
        return kill_group(system, "app")
    finally:
        os.killpg(model, signal.SIGCONT)


def test_the_books_agree_after_kills_of_every_process_under_load(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(SEED)
    persons = {person.email: person for person in (people.newcomer(system.base_url) for _ in range(ACCOUNTS))}
    load = Load(list(persons.values()), CALLERS, SEED).start()
    try:
        for name in dice.sample(NAMES * KILLS, len(NAMES) * KILLS):
            time.sleep(dice.uniform(0.2, 1.2))
            system.wait_restarted(name, killed_while_asking(system) if name == "app" else kill_group(system, name), 120)
        # The load was real: every kind of answer occurs.
        books, own = Books(system), load.answers.values()
        system.wait_until(lambda: sum(one.count(200) for one in own) > 20 * KILLS, 120)
        system.wait_until(lambda: any(record.status == 499 for record in books.ledger()), 120)
    finally:
        load.stop()

    books = settled(system, SWEEP_SECONDS)
    ledger = books.ledger()
    all_answers = list(load.answers.values())
    with capsys.disabled():
        print(f"\n  {KILLS} kills each (seed {SEED}): {summary(all_answers, ledger)}")

    each_admitted_request_has_its_one_record(all_answers, ledger)
    assert any(record.settled_by == "sweeper" for record in ledger)
    assert len(books.grants()) == ACCOUNTS
    assert disagreements(ledger, books.grants(), books.rolled_up()) == []
    assert "0 differences" in reconciled(system)
