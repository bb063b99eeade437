"""An answer in a chat outlives its reader and its process, is followed, stopped, and ends with one ledger record."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from functions.worker.app import handler
from sluice import settings
from sluice.domain.errors import Overloaded
from sluice.domain.gateway.leases import LEASE_MS
from sluice.services.chats.turns import ChatTurns
from sluice.services.gateway import exchange
from sluice.wiring import peers, stores
from sluice.wiring.runs import runs
from tests.fakes.upstream import chunk, usage_chunk
from tests.integration.chats.test_chats import begin, messages, say
from tests.integration.gateway.conftest import ANSWER, Person


def start(person: Person, chat: str, content: str = "Capital of France?", **more: Any) -> Any:
    answer = person.call("POST", f"/chats/{chat}/messages", json={"content": content, **more})
    assert answer.status_code == 200, answer.text
    return answer


def stop(person: Person, chat: str) -> None:
    assert person.call("POST", f"/chats/{chat}/answer/cancel").status_code == 204


def running(person: Person, chat: str) -> str:
    found = stores.chat_store().get(person.account_id, chat)
    assert found
    return found.running or ""


def work(person: Person, run_id: str) -> None:
    body = json.dumps({"account_id": person.account_id, "run_id": run_id})
    assert handler({"Records": [{"messageId": "1", "body": body}]}, None) == {"batchItemFailures": []}


def dies(person: Person, run_id: str) -> None:
    """From here on its process has been gone for longer than its lease is valid."""
    lease = person.grant().leases[run_id].with_progress(10, 1)
    assert stores.hot_store().checkpoint(person.account_id, run_id, lease, peers.now_ms() - LEASE_MS).made


def kept(person: Person, chat: str) -> list[tuple[str, str, str]]:
    return [(one["role"], one["content"], one["status"]) for one in messages(person, chat)]


QUESTION = ("user", "Capital of France?", "complete")


def test_an_answer_goes_on_when_its_reader_leaves(person: Person) -> None:
    chat = begin(person)
    answer = start(person, chat)
    assert kept(person, chat) == [QUESTION]
    answer.close()
    assert kept(person, chat) == [QUESTION, ("assistant", "Paris", "complete")]
    assert person.log()[0]["status"] == 200 and len(person.log()) == 1
    assert person.grant().leases == {} and not running(person, chat)


def test_it_costs_one_write_of_a_row_and_stores_no_events(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    chat, hot = begin(person), stores.hot_store()
    calls: list[tuple[str, str]] = []
    call = hot.call  # type: ignore[attr-defined]

    def counted(name: str, request: dict[str, Any]) -> Any:
        calls.append((name, request["TableName"].rpartition("-")[2]))
        return call(name, request)

    monkeypatch.setattr(runs().rows, "_call", counted)
    say(person, chat, "Capital of France?")
    assert calls == [("PutItem", "runs")]
    assert not list((settings.common().data_dir / "documents").rglob("runs/*"))


def test_a_stopped_answer_is_kept_as_far_as_it_came(person: Person) -> None:
    chat = begin(person)
    halt: Any = lambda: (stop(person, chat), time.sleep(1.1), None)[2]  # noqa: E731
    person.script(chunk("Pa"), halt, *[chunk("never")] * 40)
    answer = start(person, chat)
    assert b"[DONE]" not in answer.get_data()
    assert kept(person, chat) == [QUESTION, ("assistant", "Pa", "broken_off")]
    (record,) = person.log()
    assert (record["status"], record["finish_reason"]) == (499, "cancelled")
    assert person.grant().leases == {} and not running(person, chat)
    stop(person, chat)  # nothing is running


def follow(person: Person, chat: str, followed: threading.Event) -> str:
    """Sets `followed` once it is."""
    answer = person.call("GET", f"/chats/{chat}/answer?starting_after=-1")
    assert answer.status_code == 200, answer.text
    followed.set()
    told = answer.text
    answer.close()
    return told


def pause(seconds: float, followed: threading.Event) -> Any:
    """A step of the model, from the moment on when somebody follows its answer."""

    def step() -> None:
        assert followed.wait(60)
        time.sleep(seconds)

    return step


def text_of(told: str) -> str:
    events = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: {")]
    return "".join(one["choices"][0]["delta"]["content"] for one in events)


def test_a_second_window_follows_an_answer_from_its_beginning_or_from_an_event_on(person: Person) -> None:
    chat = begin(person)
    assert person.call("GET", f"/chats/{chat}/answer").status_code == 404
    followed = threading.Event()
    slow: list[Any] = [each for part in range(8) for each in (chunk(f"part{part} "), pause(0.4, followed))]
    person.script(*slow, chunk(None, "stop"), usage_chunk(10, 8))
    answer = start(person, chat)
    reader = threading.Thread(target=answer.get_data)
    reader.start()
    told = follow(person, chat, followed)
    reader.join()
    whole = kept(person, chat)[1][1]
    assert told.endswith("data: [DONE]\n\n") and text_of(told).startswith("part0 part1 ")
    assert whole.startswith(text_of(told).strip()) and whole.endswith("part7 ")


def test_where_no_content_is_kept_a_follower_gets_only_the_end(person: Person) -> None:
    assert person.call("PATCH", "/account", json={"store_content": False}).status_code == 200
    chat = begin(person)
    followed = threading.Event()
    person.script(chunk("Pa"), pause(1.5, followed), chunk("ris"), pause(1.0, followed), *ANSWER[2:])
    answer = start(person, chat)
    reader = threading.Thread(target=answer.get_data)
    reader.start()
    assert text_of(follow(person, chat, followed)) == ""
    reader.join()
    assert not list((settings.common().data_dir / "documents").rglob("runs/*"))


def test_an_answer_whose_process_died_is_given_by_a_worker(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt wakes up long after, and changes nothing."""
    monkeypatch.setattr(exchange, "HELD_MS", 0)
    chat = begin(person)

    def pause() -> None:
        run_id = running(person, chat)
        assert say(person, chat, "at once?").status_code == 409
        dies(person, run_id)
        person.script(chunk("Second"), chunk(None, "stop"), usage_chunk(10, 1))
        work(person, run_id)
        work(person, run_id)

    person.script(chunk("First "), pause, chunk("goes on"), chunk(None, "stop"), usage_chunk(10, 3))
    start(person, chat, temperature=0.5).get_data()
    assert kept(person, chat) == [QUESTION, ("assistant", "Second", "complete")]
    assert person.upstream.calls[-1].body["temperature"] == 0.5
    (record,) = person.log()
    assert (record["status"], record["completion_tokens"]) == (200, 2)  # one of the dead attempt
    assert person.grant().leases == {} and not running(person, chat)
    assert say(person, chat, "And now?").status_code == 200


class Killed(BaseException):
    pass


@pytest.mark.parametrize("answered", [True, False])
def test_a_process_that_dies_around_the_storing_of_its_answer_leaves_one_answer_and_one_record(
    person: Person, monkeypatch: pytest.MonkeyPatch, *, answered: bool
) -> None:
    chat, end = begin(person), ChatTurns.end

    def killed(*arguments: Any) -> bool:
        if answered:
            end(*arguments)
        raise Killed()

    answer = start(person, chat)
    run_id = next(iter(person.grant().leases))
    with monkeypatch.context() as dying:
        dying.setattr(ChatTurns, "end", killed)
        with pytest.raises(Killed):
            answer.get_data()
    dies(person, run_id)
    work(person, run_id)
    assert kept(person, chat) == [QUESTION, ("assistant", "Paris", "complete")]
    (record,) = person.log()
    assert record["status"] == 200 and len(person.upstream.calls) == (1 if answered else 2)
    assert person.grant().leases == {} and not running(person, chat)


def test_a_worker_that_meets_a_full_model_tries_again_and_the_chat_waits(person: Person) -> None:
    chat = begin(person)
    run_id = orphan(person, chat)
    person.script(Overloaded())
    work(person, run_id)
    assert running(person, chat) == run_id and say(person, chat, "Now?").status_code == 409
    lease = person.grant().leases[run_id]  # it counts what the dead attempt used, so it cannot be given back
    stores.hot_store().checkpoint(person.account_id, run_id, lease, peers.now_ms() - LEASE_MS)
    person.script(*ANSWER)
    work(person, run_id)
    assert kept(person, chat)[1][1] == "Paris" and len(person.log()) == 1


def orphan(person: Person, chat: str) -> str:
    """A run whose process died in mid-answer."""
    found: list[str] = []

    def die() -> None:
        found.append(running(person, chat))
        dies(person, found[0])
        raise Killed()

    person.script(chunk("Pa"), die)
    answer = start(person, chat)
    with pytest.raises(Killed):
        answer.get_data()
    return found[0]


def test_after_three_deaths_the_question_stays_and_can_be_asked_again(person: Person) -> None:
    chat = begin(person)
    run_id = orphan(person, chat)
    for _ in range(2):
        person.script(chunk("Pa"), lambda: (dies(person, run_id), (_ for _ in ()).throw(Killed()))[0])  # type: ignore[arg-type]
        if run_id in person.grant().leases and person.grant().leases[run_id].epoch < 3:
            with pytest.raises(Killed):
                work(person, run_id)
    work(person, run_id)
    assert person.call("GET", f"/chats/{chat}/answer").status_code == 404  # and the chat is free again
    assert kept(person, chat) == [QUESTION] and not running(person, chat)
    (record,) = person.log()
    assert record["status"] == 500 and person.grant().leases == {}
    person.script(*ANSWER)
    assert say(person, chat, "Capital of France?", replaces=messages(person, chat)[0]["id"]).status_code == 200
    assert kept(person, chat)[1][1] == "Paris"


def test_a_cancelled_run_whose_process_died_frees_its_chat(person: Person) -> None:
    chat = begin(person)
    run_id = orphan(person, chat)
    stop(person, chat)
    work(person, run_id)
    assert say(person, chat, "And Spain?").status_code == 200
    assert len(person.log()) == 2 and person.grant().leases == {}


def test_of_six_first_messages_at_once_one_chat_keeps_whole_turns(person: Person) -> None:
    chat = begin(person)
    with ThreadPoolExecutor(6) as threads:
        statuses = list(threads.map(lambda number: say(person, chat, f"q{number}").status_code, range(6)))
    turns = messages(person, chat)
    assert {200} <= set(statuses) <= {200, 409, 429} and len(turns) == 2 * statuses.count(200)
    assert [one["role"] for one in turns] == ["user", "assistant"] * statuses.count(200)
    assert person.grant().leases == {}


def test_anothers_answer_can_be_neither_followed_nor_stopped(person: Person, other: Person) -> None:
    chat = begin(person)
    assert other.call("GET", f"/chats/{chat}/answer").status_code == 404
    assert other.call("POST", f"/chats/{chat}/answer/cancel").status_code == 404
