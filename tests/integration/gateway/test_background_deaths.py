"""What a worker leaves that dies between two of its writes, and what others meet who come between them."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from functions.worker.app import handler
from sluice.adapters.gateway.hot_store import DynamoHotStore
from sluice.adapters.runs.rows import DynamoRuns
from sluice.domain.gateway.leases import LEASE_MS
from sluice.http.gateway import background, streaming
from sluice.services import runs as runs_service
from sluice.services.gateway import exchange
from sluice.services.gateway.settle import Outcome
from sluice.wiring import peers, stores
from sluice.wiring.accounts import erasure
from sluice.wiring.runs import runs
from tests.fakes.upstream import chunk, usage_chunk
from tests.integration.accounts.world import PASSWORD
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_background import (
    dead,
    events,
    message,
    read,
    run_id,
    submitted,
    text_of,
    work,
)


class Killed(BaseException):
    """As nothing of the code catches it, nothing is cleaned up."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_service, "AFTER_SECONDS", 0)


def killed_at(
    person: Person, response: dict[str, Any], monkeypatch: pytest.MonkeyPatch, where: type, name: str
) -> None:
    """A worker that dies when it calls this the first time, and makes no further write. Its lease has expired."""

    def die(*_: object, **__: object) -> None:
        raise Killed()

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(where, name, die)
        handler({"Records": [message(person.account_id, run_id(response))]}, None)
    expire(person, response)


def expire(person: Person, response: dict[str, Any]) -> None:
    if (lease := person.grant().leases.get(run_id(response))) is not None:
        long_ago_ms = peers.now_ms() - LEASE_MS - 11_000
        assert stores.hot_store().checkpoint(person.account_id, run_id(response), lease, long_ago_ms).made


def row(person: Person, response: dict[str, Any]) -> Any:
    found = runs().rows.get(person.account_id, run_id(response))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("where", "name"),
    [(DynamoHotStore, "put_record"), (DynamoHotStore, "release"), (DynamoRuns, "end")],
    ids=["before the record", "before the lease goes", "before the row ends"],
)
def test_an_answer_that_is_stored_is_not_made_again_and_is_charged_once(
    person: Person, monkeypatch: pytest.MonkeyPatch, where: type, name: str
) -> None:
    response = submitted(person)
    killed_at(person, response, monkeypatch, where, name)
    work(person, response)
    assert row(person, response).status == "completed"
    assert read(person, response)["status"] == "completed" and len(person.upstream.calls) == 1
    (record,) = person.log()
    assert (record["status"], record["prompt_tokens"], record["completion_tokens"]) == (200, 10, 2)
    assert person.grant().leases == {}


def test_a_message_that_comes_while_the_answer_is_settled_is_no_failure(person: Person) -> None:
    """The answer is stored, and the lease is held still."""
    response, seen = submitted(person), []
    put = stores.hot_store().put_record

    def again(record: Any) -> Any:
        claimed = runs_service.Claimed(row(person, response), 2, None)  # as read before the first admitted it
        runs().close(claimed, Outcome(200, 10, 2))
        seen.append(row(person, response).status)
        return put(record)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stores.hot_store(), "put_record", again)
        work(person, response)
    assert seen == ["in_progress"], "its worker ends it"
    assert row(person, response).status == "completed" and len(person.log()) == 1


def test_a_process_that_dies_before_it_begins_counts_as_an_attempt(person: Person) -> None:
    response = submitted(person)
    dead(person, response, begun=False)
    for _ in range(3):  # takes the lease over, and dies
        runs().claim(person.account_id, run_id(response))
        expire(person, response)
    work(person, response)
    assert row(person, response).status == "failed" and read(person, response)["status"] == "failed"
    assert [record["status"] for record in person.log()] == [500]
    assert person.grant().leases == {} and person.upstream.calls == []


@pytest.mark.parametrize("begun", [True, False])
def test_what_cannot_be_read_fails_at_once(person: Person, begun: bool) -> None:
    response = submitted(person)
    if begun:
        dead(person, response)
    item_id = "response#" + response["id"][-4:]
    assert stores.hot_store().set_text(person.account_id, item_id, response["id"], "run", '{"claims": {}}')
    work(person, response)
    assert read(person, response)["status"] == "failed"
    assert [record["status"] for record in person.log()] == [500] * begun
    assert person.grant().leases == {}


def test_silence_of_the_model_leaves_no_block_without_an_event(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "COMMENT_AFTER_SECONDS", 0)
    stored: list[bytes] = []
    put = type(runs().events).put
    monkeypatch.setattr(type(runs().events), "put", lambda *words: (stored.append(words[-1]), put(*words))[1])
    pause: Callable[[], None] = lambda: time.sleep(0.3)  # noqa: E731
    person.script(chunk("Pa"), pause, b"", pause, b"", chunk("ris"), chunk(None, "stop"), usage_chunk(10, 2))
    response = submitted(person)
    work(person, response)
    assert text_of(events(person, response)) == "Paris"
    assert all(block.startswith(b"event: ") for block in stored)


def revoke(person: Person) -> None:
    assert person.call("DELETE", f"/tokens/{person.token_id}").status_code == 204


def test_a_token_revoked_in_mid_answer_ends_it_charged_for_what_there_is(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "RENEW_EVERY_MS", 0)
    person.script(chunk("one "), lambda: revoke(person), chunk("two "), *[chunk("more ")] * 50)
    response = submitted(person)
    work(person, response)
    assert row(person, response).status == "failed"
    (record,) = person.log()
    assert (record["status"], record["completion_tokens"]) == (401, 2)
    assert person.grant().leases == {}


def test_an_account_deleted_in_mid_answer_leaves_nothing(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "RENEW_EVERY_MS", 0)
    response = submitted(person)

    def delete() -> None:
        assert person.call("DELETE", "/account", json={"password": PASSWORD}).status_code in (200, 202, 204)

    person.script(chunk("one "), delete, chunk("two "), *[chunk("more ")] * 50)
    work(person, response)
    work(person, submitted_before(person, response))
    assert erasure().finish(peers.now_ms() + 61_000) == 1
    assert left_of(person) == []


def submitted_before(person: Person, response: dict[str, Any]) -> dict[str, Any]:
    """The same message once more, for what is gone now."""
    expire(person, response)
    return response


def left_of(person: Person) -> list[str]:
    prefix = person.store.prefix
    contents = person.store.client.scan(TableName=prefix + "contents", ConsistentRead=True)["Items"]
    items = [item["item_id"]["S"] for item in contents if item["account_id"]["S"] == person.account_id]
    return [*items, *stores.blobs().keys(f"runs/{person.account_id}/")]


def test_an_answer_that_ends_while_it_is_cancelled_stays(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    response, stop = submitted(person), background.stop

    def late(account_id: str, response_id: str) -> Any:
        work(person, response)
        return stop(account_id, response_id)

    monkeypatch.setattr(background, "stop", late)
    assert read(person, response, "/cancel", "POST")["status"] == "completed"
    assert read(person, response)["output"][0]["content"][0]["text"] == "Paris"


def test_a_cancelled_answer_keeps_its_text_when_its_worker_is_faster(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker stores the text between the two steps of the cancellation."""
    response, stored = submitted(person), background.stored_responses()
    assert runs().rows.end(row(person, response), "cancelled")
    queued = stored.get(person.account_id, response["id"], peers.now_ms())
    partial = {**queued.response, "status": "cancelled", "output": [{"type": "message", "content": [], "id": "msg_a"}]}
    stored.put(person.account_id, partial, queued.messages, peers.now_ms(), again=True)
    late = {**queued.response, "status": "cancelled"}
    assert not stored.put(person.account_id, late, queued.messages, peers.now_ms(), again=True, live=True)
    assert read(person, response)["output"] == partial["output"]
