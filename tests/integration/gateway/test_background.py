"""Background responses with the official SDK: submitted, executed by the worker, read, followed, cancelled."""

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from functions.worker.app import handler
from sluice import settings
from sluice.adapters.runs import rows
from sluice.adapters.runs.queue import SPOOL
from sluice.domain.errors import InvalidModelRequest, Overloaded, StoreUnavailable
from sluice.domain.gateway.admission import AdmissionRequest
from sluice.domain.gateway.leases import LEASE_MS
from sluice.services.gateway import exchange
from sluice.services.gateway.request import Superseded
from sluice.services.runs import AFTER_SECONDS
from sluice.wiring import peers, stores
from sluice.wiring.gateway import gateway, sweeper
from sluice.wiring.runs import runs
from tests.fakes.upstream import chunk, usage_chunk
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_responses import post, sdk  # noqa: F401 (fixture)
from tests.rounds import rounds


def message(account_id: str, run_id: str) -> dict[str, Any]:
    return {"messageId": run_id, "body": json.dumps({"account_id": account_id, "run_id": run_id})}


def submitted(person: Person, **fields: Any) -> dict[str, Any]:
    answer = post(person, background=True, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return answer.json


def run_id(response: dict[str, Any]) -> str:
    return "req_" + response["id"].removeprefix("resp_")[:26].upper()


def work(person: Person, response: dict[str, Any]) -> None:
    answer = handler({"Records": [message(person.account_id, run_id(response))]}, None)
    assert answer == {"batchItemFailures": []}


def read(person: Person, response: dict[str, Any], path: str = "", method: str = "GET") -> dict[str, Any]:
    answer = person.client.open(f"/v1/responses/{response['id']}{path}", method=method, headers=person.api_token)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return answer.json


def test_a_background_response_is_queued_executed_and_read(person: Person) -> None:
    response = submitted(person)
    assert response["status"] == "queued" and response["background"] is True and response["output"] == []
    assert read(person, response)["status"] == "queued"
    assert person.log() == []

    work(person, response)
    done = read(person, response)
    assert done["status"] == "completed"
    assert done["output"][0]["content"][0]["text"] == "Paris"
    (record,) = person.log()
    assert record["id"] == run_id(response) and record["status"] == 200
    assert person.grant().leases == {}


def events(person: Person, response: dict[str, Any], after: int | None = None) -> bytes:
    query = "stream=true" + ("" if after is None else f"&starting_after={after}")
    answer = person.client.get(f"/v1/responses/{response['id']}?{query}", headers=person.api_token)
    assert answer.status_code == 200, answer.text
    data = answer.data
    answer.close()  # frees its place
    return b"".join(event for event in blocks(data) if event.startswith(b"event: "))


def blocks(data: bytes) -> list[bytes]:
    """Whole events only, without comments."""
    return [event.lstrip(b"\n") + b"\n\n" for event in data.replace(b": still working\n", b"").split(b"\n\n")[:-1]]


def last_number(data: bytes) -> int | None:
    numbers = [json.loads(event.split(b"data: ", 1)[1])["sequence_number"] for event in blocks(data)]
    return numbers[-1] if numbers else None


def words(person: Person, count: int) -> str:
    """A script of so many words, in blocks of a few."""
    texts = [f"word{place} " for place in range(count)]
    steps: list[Any] = []
    for place, text in enumerate(texts):
        steps += [chunk(text), *([lambda: time.sleep(0.3)] if place % 40 == 20 else [])]
    person.script(*steps, chunk(None, "stop"), usage_chunk(10, count))
    return "".join(texts)


def text_of(data: bytes) -> str:
    told = [json.loads(event.split(b"data: ", 1)[1]) for event in blocks(data)]
    return "".join(one["delta"] for one in told if one["type"] == "response.output_text.delta")


def test_a_stream_cut_at_any_byte_is_resumed_without_a_gap_or_a_repetition(person: Person) -> None:
    wanted, response = words(person, 120), submitted(person)
    work(person, response)
    whole = events(person, response)
    assert text_of(whole) == wanted and last_number(whole) == len(blocks(whole)) - 1
    dice = random.Random(7)
    for _ in range(rounds(1000, 100)):
        cut = whole[: dice.randrange(len(whole))]
        got = b"".join(blocks(cut))
        assert got + events(person, response, last_number(got)) == whole
    assert len(person.log()) == 1


def test_the_sdk_follows_a_stream_and_resumes_it(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    wanted = words(person, 90)
    response = sdk.responses.create(model="demo", input="hi", background=True)
    assert response.status == "queued"
    worker = threading.Thread(target=work, args=(person, response.model_dump()))
    worker.start()
    first, last = "", 0
    with sdk.responses.retrieve(response.id, stream=True) as stream:
        for event in stream:
            last = event.sequence_number
            first += event.delta if event.type == "response.output_text.delta" else ""
            if "word30 " in first:
                break
    rest = ""
    with sdk.responses.retrieve(response.id, stream=True, starting_after=last) as stream:
        for event in stream:
            assert event.sequence_number == last + 1
            last = event.sequence_number
            rest += event.delta if event.type == "response.output_text.delta" else ""
    worker.join()
    assert first + rest == wanted
    done = sdk.responses.retrieve(response.id)
    assert (done.status, done.output_text) == ("completed", wanted)
    with sdk.responses.create(model="demo", input="hi", background=True, stream=True) as stream:
        worker = threading.Thread(target=lambda: work(person, {"id": response_of(person)}))
        worker.start()
        kinds = [event.type for event in stream]
    worker.join()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"


def response_of(person: Person) -> str:
    """Of the run that was submitted last."""
    (message,) = [json.loads(file.read_text()) for file in waiting()][-1:]
    run = runs().rows.get(person.account_id, message["run_id"])
    assert run is not None
    return run.response_id


def waiting() -> list[Path]:
    return sorted((settings.common().data_dir / SPOOL).glob("*.json"))


def taken() -> None:
    """The messages are a worker's now, which deletes them when it is done."""
    for one in waiting():
        one.unlink()


def test_without_store_it_is_refused(person: Person) -> None:
    answer = post(person, background=True, store=False)
    assert answer.status_code == 400 and answer.json is not None
    assert answer.json["error"]["param"] == "store"


def test_a_message_that_comes_twice_at_once_and_late_changes_nothing(person: Person) -> None:
    words(person, 60)
    first, second = submitted(person), submitted(person)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda one: work(person, one), [second, first, second, first, first, second]))
    for response in (first, second, first):
        work(person, response)
        assert read(person, response)["status"] == "completed"
    assert len(person.log()) == 2 and len(person.upstream.calls) == 2
    assert person.grant().leases == {}


def dead(person: Person, response: dict[str, Any], *, begun: bool = True) -> None:
    """An attempt whose process died while the model answered: with a lease that has just expired."""
    claimed = runs().claim(person.account_id, run_id(response))
    assert claimed is not None
    store, now_ms = stores.hot_store(), peers.now_ms()
    if claimed.taken is None:
        names = (person.account_id, run_id(response), person.token_id, 400, "demo", "responses", False)
        lease = gateway().admission.admit(AdmissionRequest(*names, epoch=claimed.epoch), time.time_ns()).lease
    else:
        lease = claimed.taken[0]
    if begun:
        runs().begin(claimed)
    lease = lease.with_progress(lease.prompt_tokens + 10, lease.completion_tokens + 5)
    assert store.checkpoint(person.account_id, run_id(response), lease, now_ms - LEASE_MS - 11_000).made


def test_a_second_attempt_of_a_settled_run_waits_only_when_it_has_left(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it died while it waited with its lease, the account would be charged twice."""
    response = submitted(person)
    claimed = runs().claim(person.account_id, run_id(response))
    assert claimed is not None
    work(person, response)
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(Superseded):
        runs().begin(claimed)
    assert waits == []
    runs().end_settled(claimed.run)
    assert waits == [AFTER_SECONDS]


@pytest.mark.parametrize("begun", [True, False])
def test_a_dead_attempt_is_taken_over_and_its_tokens_are_counted(person: Person, begun: bool) -> None:
    response = submitted(person)
    dead(person, response, begun=begun)
    work(person, response)
    done = read(person, response)
    assert done["status"] == "completed" and done["usage"]["output_tokens"] == 2
    (record,) = person.log()
    assert (record["prompt_tokens"], record["completion_tokens"]) == (20, 7)
    assert text_of(events(person, response)) == "Paris"
    assert person.grant().leases == {}


def test_after_three_dead_attempts_it_fails_with_one_record(person: Person) -> None:
    response = submitted(person)
    for _ in range(3):
        dead(person, response)
    work(person, response)
    assert read(person, response)["status"] == "failed"
    (record,) = person.log()
    assert (record["status"], record["completion_tokens"]) == (500, 15)
    assert person.upstream.calls == [] and person.grant().leases == {}


def test_a_lease_that_is_alive_is_left_alone(person: Person) -> None:
    response = submitted(person)
    claimed = runs().claim(person.account_id, run_id(response))
    assert claimed is not None
    names = (person.account_id, run_id(response), person.token_id, 400, "demo", "responses", False)
    gateway().admission.admit(AdmissionRequest(*names, epoch=1), time.time_ns())
    work(person, response)
    assert read(person, response)["status"] == "queued" and person.upstream.calls == []


def test_the_sweeper_sends_a_dead_run_again_and_settles_it_only_when_nobody_takes_it(person: Person) -> None:
    response = submitted(person)
    for file in waiting():
        file.unlink()
    dead(person, response)
    swept = sweeper().sweep(peers.now_ms() + 5_000)
    assert swept.settled == 0 and len(waiting()) == 1 and len(person.grant().leases) == 1
    lease = person.grant().leases[run_id(response)]
    stores.hot_store().checkpoint(person.account_id, run_id(response), lease, peers.now_ms() - 16 * 60_000)
    assert sweeper().sweep(peers.now_ms() + 5_000).settled == 1
    work(person, response)
    assert read(person, response)["status"] == "failed" and len(person.log()) == 1
    assert person.grant().leases == {}


def test_a_full_model_is_asked_again_later_and_the_admission_is_taken_back(person: Person) -> None:
    response = submitted(person)
    person.script(Overloaded())
    taken()
    work(person, response)
    assert person.grant().leases == {} and person.log() == []
    assert read(person, response)["status"] == "in_progress" and len(waiting()) == 1
    person.script(chunk("Pa"), chunk("ris"), chunk(None, "stop"), usage_chunk(10, 2))
    work(person, response)
    assert read(person, response)["status"] == "completed" and len(person.log()) == 1


def test_what_the_model_refuses_fails_and_says_why(person: Person) -> None:
    response = submitted(person)
    person.script(InvalidModelRequest("No such thing.", "messages"))
    work(person, response)
    done = read(person, response)
    assert done["status"] == "failed" and done["error"]["message"] == "No such thing."
    told = person.client.get(f"/v1/responses/{response['id']}?stream=true", headers=person.api_token).data
    assert b'"param":"input"' in told and b"[DONE]" not in told
    (record,) = person.log()
    assert record["status"] == 400


def test_a_token_revoked_before_the_execution_is_refused(person: Person) -> None:
    response = submitted(person)
    person.call("DELETE", f"/tokens/{person.token_id}")
    work(person, response)
    assert person.upstream.calls == [] and person.log() == [] and person.grant().leases == {}


def test_a_request_counts_once_when_it_is_submitted(person: Person) -> None:
    before = person.grant().tat_requests_ns
    response = submitted(person)
    after = person.grant().tat_requests_ns
    work(person, response)
    assert person.grant().tat_requests_ns == after > before


def test_more_live_responses_than_allowed_are_refused(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_LIVE", 2)
    first = submitted(person)
    submitted(person)
    answer = post(person, background=True)
    assert answer.status_code == 429 and "retry-after" in answer.headers
    work(person, first)
    submitted(person)


def test_without_kept_content_only_the_final_answer_is_stored_until_it_is_fetched(person: Person) -> None:
    assert person.call("PATCH", "/account", json={"store_content": False}).status_code == 200
    response = submitted(person)
    key = {"account_id": {"S": person.account_id}, "item_id": {"S": "response#" + response["id"][-4:]}}
    for act in (lambda: None, lambda: work(person, response)):
        act()
        kept = person.store.client.get_item(TableName=person.store.prefix + "contents", Key=key)["Item"]
        assert int(kept["ttl_s"]["N"]) - time.time() <= 86_400, "a day, and not a month"
    assert not list((settings.common().data_dir / "documents").rglob("*"))
    assert text_of(events(person, response)) == "Paris"
    assert read(person, response)["status"] == "completed"
    assert person.client.get(f"/v1/responses/{response['id']}", headers=person.api_token).status_code == 404


def test_a_response_without_a_run_is_replayed(person: Person) -> None:
    response = post(person).json
    assert response is not None
    told = events(person, response)
    assert text_of(told) == "Paris" and b"response.completed" in told
    assert events(person, response, last_number(told)) == b""


def test_the_stream_of_a_response_without_a_run_comes_again_as_it_was(person: Person) -> None:
    words(person, 20)
    live = blocks(post(person, stream=True).data)
    identifier = json.loads(live[0].partition(b"data: ")[2])["response"]["id"]
    for after in (None, 0, 3, 4, 12, 20, len(live) - 2):
        again = blocks(events(person, {"id": identifier}, after))
        assert again == [one for one in live if b"[DONE]" not in one][0 if after is None else after + 1 :], after


def test_a_response_that_is_not_there_yet_cannot_be_continued(person: Person) -> None:
    response = submitted(person)
    answer = post(person, previous_response_id=response["id"])
    assert answer.status_code == 400
    work(person, response)
    assert post(person, previous_response_id=response["id"]).status_code == 200


def test_a_deleted_response_is_not_executed(person: Person, other: Person) -> None:
    response = submitted(person)
    assert other.client.get(f"/v1/responses/{response['id']}", headers=other.api_token).status_code == 404
    assert other.client.post(f"/v1/responses/{response['id']}/cancel", headers=other.api_token).status_code == 404
    read(person, response, method="DELETE")
    work(person, response)
    assert person.upstream.calls == []
    assert person.client.get(f"/v1/responses/{response['id']}", headers=person.api_token).status_code == 404


def test_an_attempt_that_was_paused_for_too_long_changes_nothing(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease was taken over meanwhile, and the other has answered."""
    monkeypatch.setattr(exchange, "HELD_MS", 0)
    response = submitted(person)

    def pause() -> None:
        lease = person.grant().leases[run_id(response)]
        stores.hot_store().checkpoint(person.account_id, run_id(response), lease, peers.now_ms() - LEASE_MS)
        person.script(chunk("second"), chunk(None, "stop"), usage_chunk(10, 1))
        work(person, response)

    person.script(chunk("first "), pause, chunk("goes "), chunk("on"), chunk(None, "stop"), usage_chunk(10, 3))
    work(person, response)
    done = read(person, response)
    assert (done["status"], done["output"][0]["content"][0]["text"]) == ("completed", "second")
    assert text_of(events(person, response)) == "second"
    (record,) = person.log()
    assert (record["status"], record["completion_tokens"]) == (200, 1)
    assert person.grant().leases == {}
    run = runs().rows.get(person.account_id, run_id(response))
    assert run is not None and (run.status, run.epoch, run.deaths) == ("completed", 2, 1)


def test_a_store_that_is_away_sends_the_run_again(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    response = submitted(person)

    def away(*arguments: object, **options: object) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(stores.hot_store(), "grant", away)
        taken()
        work(person, response)
    assert len(waiting()) == 1 and read(person, response)["status"] == "queued"
    work(person, response)
    assert read(person, response)["status"] == "completed" and len(person.log()) == 1
