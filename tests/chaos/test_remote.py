"""`kill -9` of the engine under load, with a paid server elsewhere beside it: nearly every caller is answered, and the
server costs what its records say.

`SLUICE_KILLS` sets how often the engine is killed. A kill comes after so many answers, so that the share of those that
it breaks off does not depend on the machine's speed: what has begun is not begun anew elsewhere.
"""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.pricing import parse_usd
from tests.books import Books, disagreements, kill_group, settled
from tests.chaos.slow_engine import SlowEngine
from tests.e2e import people
from tests.e2e.people import Person
from tests.e2e.system import System
from tests.rounds import rounds

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(2400)]

KILLS = int(os.environ.get("SLUICE_KILLS", rounds(5, 2)))
CALLERS = 16
ANSWERS_A_KILL = 600
SWEEP_SECONDS = 5
DAILY_USD = "5.00"  # not reached, however long the engine takes to come back: then callers would be refused
SETTINGS = """
[[upstreams]]
name = "local"
kind = "engine"

[[upstreams]]
name = "remote"
kind = "openai"
url = "{url}"
leaves_home = true
daily_usd = "{daily}"
prompt_usd = "1.00"
completion_usd = "10.00"

[[models]]
id = "assistant"
upstreams = ["local:demo", "remote:demo"]
"""


@dataclass
class Got:
    """What the callers got: for each request whether its answer was whole."""

    whole: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.whole / (self.whole + len(self.broken))


class Callers:
    """Ask until `stop`, every second time for a stream."""

    def __init__(self, person: Person) -> None:
        self.got, self._person = Got(), person
        self._over, self._more = threading.Event(), threading.Condition()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, answers: int) -> None:
        """Until so many more answers have come."""
        with self._more:
            wanted = self.got.whole + answers
            assert self._more.wait_for(lambda: self.got.whole >= wanted, 600)

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(300)
            assert not thread.is_alive(), "a caller still waits for its answer"

    def _call(self, number: int) -> None:
        with requests.Session() as session:
            while not self._over.is_set():
                number += 1
                problem = _ask(session, self._person, stream=number % 2 == 0)
                with self._more:
                    if problem:
                        self.got.broken.append(problem)
                    else:
                        self.got.whole += 1
                    self._more.notify_all()


def _ask(session: requests.Session, person: Person, *, stream: bool) -> str:
    """→ what is wrong with the answer; empty if it is whole."""
    body = {
        "model": "assistant",
        "messages": [{"role": "user", "content": "What is 3 + 4?"}],
        "max_tokens": 60,
        "stream": stream,
    }
    headers = {"Authorization": f"Bearer {person.api_token}"}
    try:
        answer = session.post(person.base_url + "/v1/chat/completions", json=body, headers=headers, timeout=60)
    except requests.RequestException as exc:
        return type(exc).__name__
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.json()['error']['code']}"
    if stream:
        return "" if answer.content.endswith(b"data: [DONE]\n\n") else "broken off"
    return "" if json.loads(answer.content)["choices"][0]["finish_reason"] else "no end"


@pytest.fixture
def remote() -> Iterator[SlowEngine]:
    made = SlowEngine(every_seconds=0.002, tokens=20)
    yield made
    made.stop()


@pytest.fixture
def system(tmp_path: Path, remote: SlowEngine) -> Iterator[System]:
    file = tmp_path / "sluice.toml"
    file.write_text(SETTINGS.format(url=remote.url, daily=DAILY_USD))
    running = System(tmp_path / "data", {"SLUICE_SWEEP_SECONDS": str(SWEEP_SECONDS), "SLUICE_CONFIG": str(file)})
    try:
        yield running.start()
    finally:
        running.discard()


def spent_micro_usd(books: Books) -> int:
    """Of the day of `remote`, by its item."""
    items = books._all("throttles")
    return sum(
        int(one["spent_micro_usd"]["N"]) for one in items if one["throttle_key"]["S"].startswith("spend/remote/")
    )


def cost_of(ledger: list[LedgerRecord]) -> int:
    return sum(record.upstream_micro_usd or 0 for record in ledger if record.upstream == "remote")


def test_with_a_remote_server_beside_it_kills_of_the_engine_are_hardly_noticed(
    system: System, remote: SlowEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    callers = Callers(people.newcomer(system.base_url))
    began = time.monotonic()
    try:
        for _ in range(KILLS):
            callers.wait_for(ANSWERS_A_KILL)
            system.wait_restarted("inference", kill_group(system, "inference"), 120)
        callers.wait_for(ANSWERS_A_KILL // 4)
    finally:
        callers.stop()
    seconds = time.monotonic() - began
    books = settled(system, SWEEP_SECONDS)
    ledger, got = books.ledger(), callers.got
    by_server = Counter(record.upstream for record in ledger)
    spent, cost, most = spent_micro_usd(books), cost_of(ledger), parse_usd(DAILY_USD)
    with capsys.disabled():
        print(
            f"\n  {KILLS} kills of the engine, {CALLERS} callers, {seconds:.0f} s: {got.share:.2%} of"
            f" {got.whole + len(got.broken)} answered ({dict(Counter(got.broken))}); {dict(by_server)};"
            f" the remote server cost ${cost / 1e6:.6f} of ${most / 1e6:.2f}, and its day says ${spent / 1e6:.6f}"
        )
    assert got.share >= 0.99, Counter(got.broken)
    assert by_server.keys() == {"local", "remote"} and len(ledger) >= got.whole
    assert len({record.request_id for record in ledger}) == len(ledger)
    assert disagreements(ledger, books.grants(), books.rolled_up()) == []
    assert cost == spent <= most
