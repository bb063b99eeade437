"""Cancelling a background response in every state: the status it then has, and one ledger record where it was admitted.

Each test ends with the message once more, which must change nothing.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest

from sluice.domain.errors import InvalidModelRequest
from sluice.services import runs as runs_service
from sluice.services.gateway.exchange import Exchange
from sluice.wiring.runs import runs
from tests.fakes.upstream import Step, chunk, usage_chunk
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_background import dead, events, read, run_id, submitted, work
from tests.integration.gateway.test_responses import post


def cancel(person: Person, response: dict[str, Any]) -> dict[str, Any]:
    return read(person, response, "/cancel", "POST")


def cancelling(person: Person, response: dict[str, Any]) -> Callable[[], None]:
    """A step of the model's answer. A worker looks once a second."""
    return lambda: (cancel(person, response), time.sleep(1.2), None)[2]


def ended(person: Person, response: dict[str, Any], status: str, *records: tuple[int, int, int]) -> dict[str, Any]:
    """`records`: status, prompt and completion tokens."""
    work(person, response)
    work(person, response)
    done = read(person, response)
    assert done["status"] == status and cancel(person, response)["status"] == status
    kept = [(one["status"], one["prompt_tokens"], one["completion_tokens"]) for one in person.log()]
    assert kept == list(records) and person.grant().leases == {}
    live = runs().rows._read(person.account_id, "live")  # type: ignore[attr-defined]
    assert live is None or "runs" not in live, "it takes no place any more"
    return done


def text(done: dict[str, Any]) -> str:
    return "".join(part["text"] for item in done["output"] for part in item["content"])


def test_queued(person: Person) -> None:
    response = submitted(person)
    assert cancel(person, response)["status"] == "cancelled"
    ended(person, response, "cancelled")
    assert person.upstream.calls == [] and b"response.cancelled" in events(person, response)


MORE: tuple[Step, ...] = tuple([chunk("more ")] * 50)


def test_asked_but_without_a_first_token(person: Person) -> None:
    response = submitted(person)
    person.script(cancelling(person, response), b"", *MORE)
    assert text(ended(person, response, "cancelled", (499, 10, 0))) == ""


def test_in_mid_answer(person: Person) -> None:
    response = submitted(person)
    person.script(chunk("one "), chunk("two "), cancelling(person, response), chunk("three "), *MORE)
    done = ended(person, response, "cancelled", (499, 10, 3))
    assert text(done) == "one two " and [item["status"] for item in done["output"]] == ["incomplete"]


@pytest.mark.parametrize("deleted", [False, True], ids=["", "deleted"])
def test_before_its_end_and_after_the_workers_last_look(
    person: Person, deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event says that it was completed, and a deleted one is not told as a failure."""
    monkeypatch.setattr(runs_service, "WATCH_SECONDS", 3_600.0)  # it looks no more, however long an event takes
    response = submitted(person)

    def cancelled() -> None:
        read(person, response, *(("", "DELETE") if deleted else ("/cancel", "POST")))

    person.script(chunk("Pa"), cancelled, chunk("ris"), chunk(None, "stop"), usage_chunk(10, 2))
    if deleted:
        work(person, response)
        assert [(one["status"], one["completion_tokens"]) for one in person.log()] == [(499, 2)]
    else:
        assert text(ended(person, response, "cancelled", (200, 10, 2))) == "Paris"
        told = events(person, response)
        assert b"response.completed" not in told and b"event: response.cancelled" in told


def test_one_that_is_stored_and_not_yet_settled(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    response = submitted(person)
    settle, seen = Exchange.settle, list[str]()

    def settled(*arguments: Any) -> None:
        seen.append(cancel(person, response)["status"])
        settle(*arguments)

    monkeypatch.setattr(Exchange, "settle", settled)
    work(person, response)
    monkeypatch.undo()
    assert seen == ["completed"] and text(ended(person, response, "completed", (200, 10, 2))) == "Paris"


def test_after_its_worker_died(person: Person) -> None:
    """Nobody executes it again, and what the dead worker had generated is charged."""
    response = submitted(person)
    dead(person, response)
    assert cancel(person, response)["status"] == "cancelled"
    ended(person, response, "cancelled", (500, 10, 5))
    assert person.upstream.calls == []


def test_after_a_takeover(person: Person) -> None:
    response = submitted(person)
    dead(person, response)
    person.script(chunk("one "), cancelling(person, response), chunk("two "), *MORE)
    assert text(ended(person, response, "cancelled", (499, 20, 7))) == "one "


def test_completed(person: Person) -> None:
    response = submitted(person)
    work(person, response)
    assert cancel(person, response)["status"] == "completed"
    assert text(ended(person, response, "completed", (200, 10, 2))) == "Paris"


def test_incomplete(person: Person) -> None:
    response = submitted(person)
    person.script(chunk("Pa"), chunk(None, "length"), usage_chunk(10, 1))
    work(person, response)
    assert cancel(person, response)["status"] == "incomplete"
    assert text(ended(person, response, "incomplete", (200, 10, 1))) == "Pa"


def test_failed(person: Person) -> None:
    response = submitted(person)
    person.script(InvalidModelRequest("No such thing."))
    work(person, response)
    assert cancel(person, response)["status"] == "failed"
    assert ended(person, response, "failed", (400, 10, 0))["error"]["message"] == "No such thing."


def test_given_up_after_two_hours(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has failed by then, and does not turn into a cancelled one."""
    response = submitted(person)
    with monkeypatch.context() as later:
        later.setattr("sluice.domain.runs.OVER_MS", -1)
        assert read(person, response)["status"] == "failed"
        assert cancel(person, response)["status"] == "failed"
    ended(person, response, "failed")
    assert person.upstream.calls == []


def test_a_day_later_without_its_row(person: Person) -> None:
    response = submitted(person)
    key = {"account_id": {"S": person.account_id}, "run_id": {"S": run_id(response)}}
    person.store.client.delete_item(TableName=person.store.prefix + "runs", Key=key)
    assert cancel(person, response)["status"] == "failed"
    work(person, response)
    assert read(person, response)["status"] == "failed" and person.log() == []


def refused(person: Person, response_id: str, headers: dict[str, str]) -> tuple[int, str]:
    answer = person.client.post(f"/v1/responses/{response_id}/cancel", headers=headers)
    assert answer.json is not None
    return answer.status_code, answer.json["error"]["code"]


def test_not_his_own_or_no_background_response_or_none_at_all(person: Person, other: Person) -> None:
    response, plain = submitted(person), post(person).json
    assert plain is not None
    assert refused(person, response["id"], other.api_token) == (404, "not_found")
    assert refused(person, plain["id"], person.api_token)[0] == 400
    for unknown in ("resp_none", "resp_" + "0" * 30, response["id"][:-4] + "9999"):
        assert refused(person, unknown, person.api_token) == (404, "not_found"), unknown
    assert refused(person, response["id"], {})[0] == 401
    assert person.call("DELETE", f"/tokens/{person.token_id}").status_code == 204
    assert refused(person, response["id"], person.api_token) == (401, "invalid_api_key")
    run = runs().rows.get(person.account_id, run_id(response))
    assert run is not None and run.status == "queued"
