"""Two machines over one store: limits are exact across both, and a machine that dies under load loses nothing."""

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.books import Books, disagreements, each_admitted_request_has_its_one_record, reconciled, settled, summary
from tests.chaos import two_machines
from tests.chaos.load import Load
from tests.chaos.two_machines import RPM, SWEEP_SECONDS, Machines, at, command, kill_machine
from tests.e2e.people import ask
from tests.e2e.system import READY_SECONDS, System
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]
AT_ONCE = 100
CALLERS = 3
SECONDS_A_REQUEST = 60 / RPM


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with two_machines.running(tmp_path_factory.mktemp("machines")) as made:
        yield made


def test_of_a_hundred_requests_through_both_twenty_a_minute_are_admitted(machines: Machines) -> None:
    person = machines.newcomer()
    sides = [at(system, person) for system in machines.both]
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = [ask(side, "What is 3 + 4?", max_tokens=1) for side in sides]  # a slow one would find none left
        answers += threads.map(lambda n: ask(sides[n % 2], "What is 3 + 4?", max_tokens=1), range(2, AT_ONCE))
    refilled = int((time.monotonic() - began) / SECONDS_A_REQUEST)
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    assert RPM <= statuses.count(200) <= RPM + refilled
    assert all(200 in statuses[side::2] for side in (0, 1))
    log = sides[1].call("GET", "/usage/logs", params={"limit": 100}).json()["data"]
    assert len(log) == statuses.count(200)


def test_a_session_an_api_token_and_its_revocation_are_in_force_at_both(machines: Machines) -> None:
    here = machines.newcomer()
    there = at(machines.other, here)
    assert there.call("GET", "/account").json()["email"] == here.email
    assert ask(there, "What is 3 + 4?").status_code == 200
    assert here.call("POST", f"/tokens/{here.token_id}/revoke").status_code in (200, 204)
    refused = ask(there, "What is 3 + 4?")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    assert there.call("POST", "/auth/logout").status_code in (200, 204)
    assert here.call("GET", "/account").status_code == 401


def test_a_document_of_one_machine_is_found_at_the_other(machines: Machines) -> None:
    here = machines.newcomer()
    there = at(machines.other, here)
    file = here.v1(
        "POST",
        "/v1/files",
        files={"file": ("harbour.txt", b"The harbour master keeps a green lantern.")},
        data={"purpose": "assistants"},
    ).json()
    store = there.v1("POST", "/v1/vector_stores", json={"name": "docs", "file_ids": [file["id"]]}).json()

    def status() -> str:
        return str(here.v1("GET", f"/v1/vector_stores/{store['id']}/files/{file['id']}").json().get("status"))

    eventually(lambda: time.sleep(4) or status() == "completed", 180)  # each look is one of twenty requests a minute
    for person in (here, there):
        found = person.v1("POST", f"/v1/vector_stores/{store['id']}/search", json={"query": "green lantern"})
        assert "lantern" in found.json()["data"][0]["content"][0]["text"], found.text


def test_a_background_response_is_read_and_followed_at_the_other_machine(machines: Machines) -> None:
    here = machines.newcomer()
    there = at(machines.other, here)
    body = {"model": "demo", "input": "What is the capital of France?", "background": True, "stream": True}
    with here.v1("POST", "/v1/responses", json=body, stream=True) as streamed:
        whole = streamed.text
    response_id = whole.partition('"id":"')[2].partition('"')[0]
    again = there.v1("GET", f"/v1/responses/{response_id}", params={"stream": "true"}, stream=True)
    with again:
        events = [line for line in again.text.splitlines() if line.startswith("data: ")]
    assert events == [line for line in whole.splitlines() if line.startswith("data: ")]


def test_a_machine_with_other_keys_does_not_start(machines: Machines, tmp_path: Path) -> None:
    stranger = System(
        tmp_path / "stranger", {"AWS_ENDPOINT_URL_DYNAMODB": machines.one.environment["AWS_ENDPOINT_URL_DYNAMODB"]}
    )
    try:
        stranger.launch()
        assert stranger.wait_ended(READY_SECONDS) != 0
    finally:
        stranger.discard()
    assert "are not those of the other machines" in stranger.output() and "Traceback" not in stranger.output()


def test_a_machine_that_is_killed_under_load_loses_nothing(
    machines: Machines, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = machines.newcomer(), at(machines.other, machines.newcomer())
    ids = {one.email: str(one.call("GET", "/account").json()["id"]) for one in (here, there)}
    for email in ids:
        command(machines.other, "users", "limits", email, "--rpm", "100000")
    load = Load([here, there], CALLERS, random.SystemRandom().randrange(10**6)).start()
    try:
        eventually(lambda: all(answers.count(200) >= 10 for answers in load.answers.values()), 120)
        books = Books(machines.other)
        os.killpg(os.getpgid(machines.one.pid("inference")), signal.SIGSTOP)  # so that requests certainly run
        eventually(lambda: books.held(ids[here.email]))
        kill_machine(machines.one)
        before = load.answers[there.email].count(200)
        eventually(lambda: load.answers[there.email].count(200) >= before + 10, 120)
    finally:
        load.stop()
    books = settled(machines.other, SWEEP_SECONDS)
    own = list(load.answers.values())
    ledger = [record for record in books.ledger() if record.account_id in ids.values()]
    with capsys.disabled():
        print(f"\n  one of two machines killed: {summary(own, ledger)}")
    each_admitted_request_has_its_one_record(own, ledger)
    assert any(record.settled_by == "sweeper" for record in ledger)
    assert disagreements(books.ledger(), books.grants(), books.rolled_up()) == []
    assert "0 differences" in reconciled(machines.other)
    assert ask(at(machines.other, here), "What is 3 + 4?").status_code == 200
    machines.one.start()
    assert ask(here, "What is 3 + 4?").status_code == 200
