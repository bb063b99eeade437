"""`kill -9` of worker, app, engine and store under background responses: each ends once, with one ledger record."""

import os
import random
import signal
import time
from collections import Counter
from typing import Any

import pytest
import requests

from tests.books import Books, disagreements, kill_group, settled
from tests.chaos.conftest import SWEEP_SECONDS
from tests.e2e import people
from tests.e2e.system import System
from tests.rounds import rounds
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(3600)]

RUNS = int(os.environ.get("SLUICE_RUNS", rounds(120, 24)))
KILLS = int(os.environ.get("SLUICE_RUN_KILLS", rounds(6, 4)))
SEED = int(os.environ.get("SLUICE_KILL_SEED", str(random.SystemRandom().randrange(10**6))))
ENDED = {"completed", "incomplete", "failed"}


def killed_at_work(system: System, patient: "Patient", dead: set[tuple[str, int]]) -> int:
    """Kills the worker while the model holds its requests, so that leases are certainly left. `dead`: those (request
    id, epoch) of the workers killed before, to which its own are added."""
    books, model = Books(system), os.getpgid(system.pid("inference"))
    patient.submit("One by which the worker learns which models there are.")
    system.wait_until(lambda: patient.read(patient.sent[-1])["status"] in ENDED, 180)
    os.killpg(model, signal.SIGSTOP)

    def living() -> set[tuple[str, int]]:
        return {(one, epoch) for one, epoch in books.held() if epoch} - dead

    try:
        for place in range(3):
            patient.submit(f"Held {place}.")
        system.wait_until(living, 120)
        pid = kill_group(system, "worker")
        dead |= living()
        return pid
    finally:
        os.killpg(model, signal.SIGCONT)


class Patient:
    """A person who repeats a call that meets a killed process, but no submission that may have been taken."""

    def __init__(self, person: people.Person) -> None:
        self.person, self.sent = person, list[str]()

    def submit(self, text: str) -> None:
        body = {"model": "demo", "input": text, "background": True, "max_output_tokens": 120}
        try:
            while (answer := self.person.v1("POST", "/v1/responses", json=body)).status_code == 429:
                time.sleep(1)  # a hundred are on their way
        except requests.RequestException:
            return  # it may be on its way all the same
        if answer.status_code == 200:
            self.sent.append(answer.json()["id"])

    def read(self, response_id: str) -> dict[str, Any]:
        while True:
            try:
                answer = self.person.v1("GET", f"/v1/responses/{response_id}")
            except requests.RequestException:
                answer = None
            if answer is not None and answer.status_code == 200:
                return dict(answer.json())
            time.sleep(0.5)


def test_each_background_response_ends_once_through_kills_of_every_process(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    dice, dead = random.Random(SEED), set[tuple[str, int]]()
    patient = Patient(people.newcomer(system.base_url))
    names = ["worker", *dice.choices(["worker", "worker", "app", "inference", "store"], k=KILLS - 1)]
    kills = dict(zip(sorted(dice.sample(range(2, RUNS), KILLS)), names, strict=True))
    for place in range(RUNS):
        patient.submit(f"Write a paragraph on what an API is, number {place}.")
        if place in kills:
            time.sleep(dice.uniform(0, 0.05))
            name = kills[place]
            system.wait_restarted(
                name, killed_at_work(system, patient, dead) if name == "worker" else kill_group(system, name), 120
            )

    until = time.monotonic() + 900 + RUNS
    waiting, ended = set(patient.sent), Counter[str]()
    while waiting:
        assert time.monotonic() < until, f"{len(waiting)} of {RUNS} have not ended (seed {SEED}): {ended}"
        for response_id in sorted(waiting):
            if (status := patient.read(response_id)["status"]) in ENDED:
                ended[status] += 1
                waiting.remove(response_id)
        time.sleep(0.5)

    books = settled(system, SWEEP_SECONDS)
    records = {record.request_id: record for record in books.ledger()}
    deaths = sum(int(item["deaths"]["N"]) for item in books._all("runs") if "deaths" in item)
    with capsys.disabled():
        print(
            f"\n  {KILLS} kills (seed {SEED}, {Counter(kills.values())}): {dict(ended)}, {len(records)} records, ",
            end="",
        )
        print(f"{deaths} attempts died and were taken over")
    assert deaths >= names.count("worker")
    runs = {"req_" + response_id[5:31].upper() for response_id in patient.sent}
    assert runs <= records.keys()
    assert disagreements(books.ledger(), books.grants(), books.rolled_up()) == []
    assert ended["completed"] + ended["incomplete"] > len(patient.sent) * 0.8


def test_an_answer_in_a_chat_whose_app_is_killed_is_given_by_the_worker(system: System) -> None:
    person = people.newcomer(system.base_url)
    said = {"content": "Write a paragraph on what an API is.", "max_tokens": 120}
    chat = eventually(lambda: chat_whose_app_is_killed(system, person, said), 180)
    assert person.call("POST", f"/chats/{chat}/messages", json={"content": "Now?"}).status_code == 409

    def turns() -> list[dict[str, Any]]:
        return list(person.call("GET", f"/chats/{chat}").json()["messages"])

    system.wait_until(lambda: len(turns()) == 2, 300)
    question, given = turns()
    assert question["content"] == said["content"] and given["status"] == "complete" and given["content"]
    ledger = settled(system, SWEEP_SECONDS).ledger()
    (record,) = [one for one in ledger if one.request_id == given["request_id"]]
    assert (record.status, record.endpoint) == (200, "chats")


def chat_whose_app_is_killed(system: System, person: people.Person, said: dict[str, Any]) -> str:
    """In mid-answer → its id; empty if the answer was at its end before."""
    books, model = Books(system), os.getpgid(system.pid("inference"))
    chat = str(person.call("POST", "/chats", json={}).json()["id"])
    with person.call("POST", f"/chats/{chat}/messages", json=said, stream=True) as answer:
        assert answer.status_code == 200 and next(answer.iter_lines())
        os.killpg(model, signal.SIGSTOP)
        try:
            if not books.held():
                return ""
            pid = kill_group(system, "app")
        finally:
            os.killpg(model, signal.SIGCONT)
        system.wait_restarted("app", pid, 120)
    return chat
