"""`sluice upgrade` and what callers see of it; one that is killed, and one whose version does not become healthy."""

import re
import shutil
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import openai
import pytest
import requests

from infra.backup.store_copy import StoreCopy
from infra.local.store_address import use_running_store
from infra.migrations import record
from infra.migrations.steps import CURRENT
from sluice.adapters.tokens.keys import ensure_keys
from sluice.domain.usage.ledger import LedgerRecord
from tests.books import Books
from tests.e2e import old
from tests.e2e.conftest import NewSystem
from tests.e2e.people import TIMEOUT_SECONDS, Person, newcomer
from tests.e2e.system import READY_SECONDS, ROOT, System
from tests.e2e.test_old_store import PREFIX, leave_old_store
from tests.integration.gateway.admission.world import slow_client
from tests.integration.infra.upgrades.conftest import items
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]
CALLERS = 4
RETRIES = 100
"""While connections are refused the client tries again after 8 s at most, for as long as a busy machine starts."""
UPGRADE_SECONDS = 240.0
STOP = re.compile(r"^\[(\S+ \S+) \S+\] \[\d+\] \[INFO\] (?:Handling signal: term|Shutting down: Master)$", re.MULTILINE)
DEMO_MODEL = ROOT / "model" / "demo-model-q8_0.gguf"


def sluice(system: System, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(Path(sys.executable).with_name("sluice")), *words],
        cwd=ROOT,
        env=system.environment,
        text=True,
        capture_output=True,
        timeout=UPGRADE_SECONDS,
    )


def make_older(system: System) -> None:
    """The running store's record is as an earlier version leaves it, whose tables were declared otherwise."""
    environment = {"SLUICE_DATA_DIR": str(system.data_dir)}
    use_running_store(environment)
    client = slow_client(environment["AWS_ENDPOINT_URL_DYNAMODB"], environment["SLUICE_STORE_SOCKET"])
    record.write(client, PREFIX, record.Record(CURRENT, "of an earlier version"))
    client.close()


class Callers:
    """Each asks one question after the other by OpenAI's client, which tries again as `Retry-After` says."""

    def __init__(self, person: Person) -> None:
        self.person, self.stopping = person, threading.Event()
        self.answered: dict[str, tuple[int, int]] = {}  # request id → prompt and completion tokens
        self.refusals: list[tuple[int, str | None]] = []
        self.failed: list[Exception] = []
        self.threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]
        self.threads.append(threading.Thread(target=self._watch))

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _ask(self) -> None:
        with openai.OpenAI(
            base_url=self.person.base_url + "/v1",
            api_key=self.person.api_token,
            max_retries=RETRIES,
            timeout=READY_SECONDS,
        ) as client:
            while not self.stopping.is_set():
                try:
                    question: Any = [{"role": "user", "content": "What is 3 + 4?"}]
                    answer = client.chat.completions.create(model="demo", messages=question)
                    assert answer.usage and answer._request_id
                    self.answered[answer._request_id] = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
                except Exception as exc:
                    self.failed.append(exc)

    def _watch(self) -> None:
        """Without trying again: what a caller sees of the gate."""
        while not self.stopping.is_set():
            try:
                answer = requests.get(self.person.base_url + "/v1/models", timeout=TIMEOUT_SECONDS)
                if answer.status_code != 401:
                    self.refusals.append((answer.status_code, answer.headers.get("Retry-After")))
            except requests.RequestException:
                pass  # between the gate before the app and the app's own
            self.stopping.wait(0.05)

    def go_on(self) -> None:
        """Returns after some more answers."""
        enough = len(self.answered) + 20
        eventually(lambda: len(self.answered) > enough, READY_SECONDS)


def agreed(person: Person, books: Books) -> list[LedgerRecord]:
    """The person's ledger records, once their usage is the sum of them: the sweeper may settle one meanwhile."""
    found: list[LedgerRecord] = []

    def agree() -> bool:
        account_id = person.call("GET", "/account").json()["id"]
        found[:] = [one for one in books.ledger() if one.account_id == account_id]
        total = person.call("GET", "/usage").json()["total"]
        return (total["requests"], total["prompt_tokens"], total["completion_tokens"]) == (
            len(found),
            sum(one.prompt_tokens for one in found),
            sum(one.completion_tokens for one in found),
        )

    eventually(agree)
    return found


def answers_were_cut_off(system: System) -> bool:
    """Whether the one stop of the app took the 5 s that it leaves to answers. The log's times are whole seconds."""
    log = (system.data_dir / "logs" / "app.log").read_text()
    begun, ended = (datetime.fromisoformat(one) for one in STOP.findall(log))
    return (ended - begun).total_seconds() >= 4


def test_under_load_every_question_is_answered_and_the_ledger_has_exactly_those(new_system: NewSystem) -> None:
    system = new_system().start()
    person = newcomer(system.base_url)
    make_older(system)
    before = (system.data_dir / "run" / "lock").read_text()
    with Callers(person) as callers:
        callers.go_on()
        done = sluice(system, "upgrade")
        callers.go_on()
    assert done.returncode == 0 and "is healthy" in done.stderr, done.stderr
    after = (system.data_dir / "run" / "lock").read_text()
    assert after != before and after.split(",")[0] == before.split(",")[0], "the same process, which began again"
    assert callers.failed == []
    assert set(callers.refusals) == {(503, "10")}
    ledger = {one.request_id: one for one in agreed(person, Books(system))}
    charged = {name: (ledger[name].prompt_tokens, ledger[name].completion_tokens) for name in callers.answered}
    assert charged == callers.answered
    others = [one for one in ledger.values() if one.request_id not in callers.answered]  # their callers asked again
    assert len(others) <= (CALLERS if answers_were_cut_off(system) else 0), others
    assert {(one.status, one.settled_by) for one in others} <= {(500, "sweeper")}
    assert len(list((system.data_dir / "upgrade").glob("store-schema-*.db"))) == 1
    assert not (system.data_dir / "upgrade" / "trial").exists()


def test_a_launcher_killed_during_the_trial_is_followed_by_one_that_ends_it(new_system: NewSystem) -> None:
    system = new_system()
    leave_old_store(system.data_dir)
    ensure_keys(system.data_dir)
    token = old.api_token((system.data_dir / "keys" / "token-signing.pem").read_bytes())
    system.launch()
    trial = system.data_dir / "upgrade" / "trial"
    system.wait_until(trial.exists)
    system.kill_launcher()
    assert trial.exists(), "killed before it was accepted"
    system.start()
    assert not trial.exists() and not (system.data_dir / "run" / "closed").exists()
    old.the_whole_path_works(system.base_url, token)


def test_a_version_that_does_not_become_healthy_leaves_the_store_of_before(
    new_system: NewSystem, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but nothing else")
    system = new_system(env={"SLUICE_MODEL": str(broken)})
    leave_old_store(system.data_dir, 3)
    before = items(system.data_dir / "store.db")
    system.launch()
    assert system.wait_ended(UPGRADE_SECONDS) != 0
    told = system.output()
    assert "inference cannot start" in told and "is again as it was before the upgrade (schema 3)" in told, told
    assert items(system.data_dir / "store.db") == before
    del system.environment["SLUICE_MODEL"]
    system.start()
    assert f"brought the store from schema 3 to {CURRENT}" in system.output()


def test_a_run_that_cannot_begin_again_is_stopped_and_the_command_goes_on_in_its_place(new_system: NewSystem) -> None:
    """As 0.2.0 notes itself. It is a process that only holds the lock."""
    system = new_system()
    leave_old_store(system.data_dir, 4)
    lock = system.data_dir / "run" / "lock"
    holds = f"""
import os, signal, sys, time
from pathlib import Path
from infra.local.datadir import DataDir
data = DataDir(Path({str(system.data_dir)!r}))
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
data.take()
data.note(f"process {{os.getpid()}}, {system.base_url}")
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", holds], cwd=ROOT) as earlier:
        eventually(lambda: "process" in (lock.read_text() if lock.exists() else ""))
        system.command = [str(Path(sys.executable).with_name("sluice")), "upgrade"]
        system.start()
        assert earlier.wait() == 0
    assert "cannot begin again, so it is stopped" in system.output()
    assert system.healthy()


def test_the_command_reports_a_version_that_does_not_become_healthy(new_system: NewSystem, tmp_path: Path) -> None:
    model, broken = tmp_path / "model.gguf", tmp_path / "broken.gguf"
    shutil.copyfile(DEMO_MODEL, model)
    broken.write_bytes(b"GGUF but nothing else")
    system = new_system(env={"SLUICE_MODEL": str(model)}).start()
    make_older(system)
    broken.replace(model)
    done = sluice(system, "upgrade")
    assert done.returncode == 1 and "the upgrade failed: inference cannot start" in done.stderr, done.stderr
    assert "is again as it was before" in done.stderr
    assert system.wait_ended() != 0
    assert StoreCopy(system.data_dir / "store.db", PREFIX).record().tables == "of an earlier version"
