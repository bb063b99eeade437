"""Batches with the official SDK: made of a file, executed by the worker, read, cancelled; their limits and money."""

import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import openai
import pytest

from functions.worker.app import handler
from sluice import settings
from sluice.adapters.documents.blobs_folder import FolderBlobs
from sluice.adapters.runs.batches import DynamoBatches
from sluice.adapters.runs.queue import BATCH_SPOOL, FolderQueue
from sluice.domain.batches import OVERDUE_MS, row_of, slice_name
from sluice.http.gateway.rows import GIVEN_BACK_SECONDS, executing
from sluice.services.batches import Later, _Slice
from sluice.wiring import peers, stores
from sluice.wiring.documents import ingestion
from sluice.wiring.runs import batches
from tests.integration.accounts.world import PASSWORD
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_owners_terms import apply
from tests.integration.gateway.test_responses import sdk  # noqa: F401 (fixture)

CHAT = "/v1/chat/completions"


def line(number: int, url: str = CHAT, **fields: Any) -> dict[str, Any]:
    body = {"model": "demo", "messages": [{"role": "user", "content": f"Question {number}?"}], **fields}
    return {"custom_id": f"row-{number}", "method": "POST", "url": url, "body": body}


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def made(sdk: openai.OpenAI, rows: list[dict[str, Any]], **fields: Any) -> Any:  # noqa: F811
    file = sdk.files.create(file=("rows.jsonl", jsonl(rows)), purpose="batch")
    endpoint = fields.pop("endpoint", CHAT)
    return sdk.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **fields)


def work(most: int = 10_000, look: Callable[[], None] = lambda: None) -> int:
    """What the worker does with the messages that are due. → how many."""
    folder, handled = settings.common().data_dir / BATCH_SPOOL, 0
    while handled < most and (waiting := sorted(folder.glob("*.json"))):
        body = waiting[0].read_text()
        waiting[0].unlink()
        answer = handler({"Records": [{"messageId": "m", "body": body}]}, None)
        assert answer == {"batchItemFailures": []}
        handled += 1
        look()
    return handled


def rows_of(sdk: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:  # noqa: F811
    return [json.loads(one) for one in sdk.files.content(file_id).text.splitlines()] if file_id else []


def test_a_batch_is_made_executed_and_its_output_read(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    batch = made(sdk, [line(number) for number in range(3)], metadata={"of": "me"})
    assert batch.status == "validating" and batch.metadata == {"of": "me"} and batch.object == "batch"

    work()
    batch = sdk.batches.retrieve(batch.id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (3, 3, 0)
    assert batch.error_file_id is None and batch.completed_at and batch.in_progress_at

    results = rows_of(sdk, batch.output_file_id)
    assert [row["custom_id"] for row in results] == ["row-0", "row-1", "row-2"]
    records = {record["id"]: record for record in person.log()}
    for row in results:
        assert row["error"] is None and row["response"]["status_code"] == 200
        assert row["response"]["body"]["choices"][0]["message"]["content"] == "Paris"
        assert records[row["response"]["request_id"]]["status"] == 200
    assert len([one for one in records.values() if one["endpoint"] == "chat.completions"]) == 3
    assert person.grant().leases == {}
    assert [one.id for one in sdk.batches.list()] == [batch.id]


def test_result_files_outlive_an_event_that_is_handled_at_once(
    person: Person,
    sdk: openai.OpenAI,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = FolderBlobs.put_file

    def write(self: FolderBlobs, key: str, file: Any) -> None:
        written(self, key, file)
        _, account_id, file_id = key.split("/")
        ingestion().uploaded(account_id, file_id)

    batch = made(sdk, [line(0), line(1, model="other")])
    monkeypatch.setattr(FolderBlobs, "put_file", write)
    work()
    batch = sdk.batches.retrieve(batch.id)
    assert [row["custom_id"] for row in rows_of(sdk, batch.output_file_id)] == ["row-0"]
    assert [row["custom_id"] for row in rows_of(sdk, batch.error_file_id)] == ["row-1"]


def counts(batch: Any) -> tuple[int, int, int]:
    return batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed


@pytest.mark.parametrize("endpoint", ["/v1/completions", "/v1/embeddings", "/v1/responses"])
def test_each_endpoint_answers_in_its_own_form(person: Person, sdk: openai.OpenAI, endpoint: str) -> None:  # noqa: F811
    person.upstream.capabilities = ["chat", "completions", "embeddings"]
    field = {"/v1/completions": "prompt", "/v1/embeddings": "input", "/v1/responses": "input"}[endpoint]
    row = {"custom_id": "a", "method": "POST", "url": endpoint, "body": {"model": "demo", field: "Paris"}}
    batch = made(sdk, [row], endpoint=endpoint)
    work()
    batch = sdk.batches.retrieve(batch.id)
    (result,) = rows_of(sdk, batch.output_file_id) or rows_of(sdk, batch.error_file_id)
    assert result["response"]["status_code"] == 200, result
    body = result["response"]["body"]
    assert "embedding" in json.dumps(body) if endpoint == "/v1/embeddings" else "Paris" in json.dumps(body)
    (record,) = [one for one in person.log() if one["endpoint"] in endpoint.replace("/", ".")]
    assert record["status"] == 200 and record["total_tokens"] > 0


def test_a_file_with_faults_fails_and_says_each(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    good, twice = line(0), line(0)
    wrong = [b"{", b"[]", *(json.dumps(one).encode() for one in (
        good, twice, line(1, url="/v1/embeddings"), line(2) | {"method": "GET"}, line(3) | {"body": "x"},
        line(4) | {"custom_id": ""}, line(5, stream=True), line(6, background=True),
    ))]  # fmt: skip
    file = sdk.files.create(file=("rows.jsonl", b"\n".join(wrong)), purpose="batch")
    batch = sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    work()
    batch = sdk.batches.retrieve(batch.id)
    assert batch.status == "failed" and batch.failed_at and batch.errors and batch.errors.data
    assert [(one.line, one.code) for one in batch.errors.data] == [
        (1, "invalid_json_line"), (2, "invalid_json_line"), (4, "duplicate_custom_id"), (5, "mismatched_url"),
        (6, "invalid_method"), (7, "invalid_body"), (8, "invalid_custom_id"), (9, "invalid_body"), (10, "invalid_body"),
    ]  # fmt: skip
    assert person.upstream.calls == []


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_fails(sdk: openai.OpenAI, content: bytes) -> None:  # noqa: F811
    file = sdk.files.create(file=("rows.jsonl", content), purpose="batch")
    batch = sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    work()
    batch = sdk.batches.retrieve(batch.id)
    assert batch.errors and batch.errors.data and batch.errors.data[0].code == "empty_file"


def test_rows_that_are_refused_are_in_the_error_file(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    rows = [line(0), line(1, model="none"), line(2, temperature="hot"), line(3)]
    batch = made(sdk, rows)
    work()
    batch = sdk.batches.retrieve(batch.id)
    assert (batch.status, counts(batch)) == ("completed", (4, 2, 2))
    faults = {one["custom_id"]: one["response"] for one in rows_of(sdk, batch.error_file_id)}
    assert faults["row-1"]["status_code"] == 404 and faults["row-1"]["body"]["error"]["code"] == "model_not_found"
    assert faults["row-2"]["status_code"] == 400 and faults["row-2"]["body"]["error"]["param"] == "temperature"
    assert [one["custom_id"] for one in rows_of(sdk, batch.output_file_id)] == ["row-0", "row-3"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_file_id": "file_01M8P96WD9QVQ4H1WXZRF20XGD"},
        {"input_file_id": "x"},
        {"endpoint": "/v1/messages"},
        {"completion_window": "1h"},
        {"metadata": {"a": "x" * 513}},
        {"output_expires_after": {"anchor": "created_at", "seconds": 3600}},
    ],
)
def test_what_is_no_batch_is_refused(person: Person, sdk: openai.OpenAI, wrong: dict[str, Any]) -> None:  # noqa: F811
    file = sdk.files.create(file=("rows.jsonl", jsonl([line(0)])), purpose="batch")
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **wrong}
    answer = person.client.post("/v1/batches", json=body, headers=person.api_token)
    assert answer.status_code == 400 and answer.json is not None
    assert answer.json["error"]["param"].split(".")[0] == next(iter(wrong))
    assert "None" not in answer.json["error"]["message"]


def test_another_purpose_is_refused(sdk: openai.OpenAI) -> None:  # noqa: F811
    file = sdk.files.create(file=("rows.jsonl", jsonl([line(0)])), purpose="assistants")
    with pytest.raises(openai.BadRequestError):
        sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")


def test_scopes_are_needed(world: Any, person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    file = sdk.files.create(file=("rows.jsonl", jsonl([line(0)])), purpose="batch")
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    for scopes in (["inference"], ["batches"]):
        token = world[0].issue(person.session, scopes=scopes)["token"]
        answer = person.client.post("/v1/batches", json=body, headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json["error"]["code"]) == (403, "insufficient_scope")  # type: ignore[index]


def test_a_publishable_token_is_refused(world: Any, person: Person) -> None:
    terms = {"kind": "publishable", "origins": ["https://page.example"], "scopes": ["inference"]}
    token = world[0].issue(person.session, **terms)["token"]
    headers = {"Authorization": f"Bearer {token}", "Origin": "https://page.example"}
    for method, path in (("POST", ""), ("GET", ""), ("GET", "/batch_x"), ("POST", "/batch_x/cancel")):
        answer = person.client.open(f"/v1/batches{path}", method=method, json={}, headers=headers)
        assert (answer.status_code, answer.json["error"]["code"]) == (403, "forbidden")  # type: ignore[index]


def test_another_accounts_batch_is_not_found(person: Person, other: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    batch = made(sdk, [line(0)])
    for method, path in (("GET", ""), ("POST", "/cancel")):
        answer = other.client.open(f"/v1/batches/{batch.id}{path}", method=method, headers=other.api_token)
        assert answer.status_code == 404
    assert other.client.get("/v1/batches", headers=other.api_token).json["data"] == []  # type: ignore[index]


def test_batches_are_paged_newest_first(sdk: openai.OpenAI) -> None:  # noqa: F811
    ids = [made(sdk, [line(0)]).id for _ in range(5)]
    page = sdk.batches.list(limit=2)
    assert [one.id for one in page.data] == ids[:-3:-1] and page.has_more
    assert [one.id for one in sdk.batches.list(limit=2)] == ids[::-1]
    assert list(sdk.batches.list(after="batch_x")) == []


def test_a_cancelled_batch_keeps_what_it_has_and_executes_no_more(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    batch = made(sdk, [line(number) for number in range(10)])
    work(4)  # the validation and three slices of a row each
    cancelled = sdk.batches.cancel(batch.id)
    assert cancelled.status == "cancelling" and cancelled.cancelling_at
    asked = len(person.upstream.calls)
    work()
    batch = sdk.batches.retrieve(batch.id)
    assert (batch.status, counts(batch)) == ("cancelled", (10, 3, 7)) and batch.cancelled_at
    assert len(person.upstream.calls) == asked
    assert {one["error"]["code"] for one in rows_of(sdk, batch.error_file_id)} == {"batch_cancelled"}
    assert len(rows_of(sdk, batch.output_file_id)) == 3
    assert sdk.batches.cancel(batch.id).status == "cancelled"


def test_a_batch_is_cancelled_before_its_validation(sdk: openai.OpenAI) -> None:  # noqa: F811
    batch = made(sdk, [line(0)])
    assert sdk.batches.cancel(batch.id).status == "cancelling"
    work()
    assert sdk.batches.retrieve(batch.id).status == "cancelled"


def test_a_batch_that_has_ended_cannot_be_cancelled(sdk: openai.OpenAI) -> None:  # noqa: F811
    batch = made(sdk, [line(0)])
    work()
    with pytest.raises(openai.ConflictError):
        sdk.batches.cancel(batch.id)


def test_after_a_day_what_is_not_done_expires(
    person: Person, sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    batch = made(sdk, [line(number) for number in range(5)])
    work(3)
    monkeypatch.setattr("sluice.domain.batches.WINDOW_MS", 0)
    work()
    batch = sdk.batches.retrieve(batch.id)
    assert (batch.status, counts(batch)) == ("expired", (5, 2, 3)) and batch.expired_at
    assert {one["error"]["code"] for one in rows_of(sdk, batch.error_file_id)} == {"batch_expired"}


def test_rows_count_against_no_limit_of_a_minute_and_have_a_concurrency_of_their_own(
    person: Person, sdk: openai.OpenAI  # noqa: F811
) -> None:  # fmt: skip
    batch = made(sdk, [line(number) for number in range(3)])
    before = person.grant()
    seen: list[Any] = []
    person.script(lambda: seen.append(person.grant()), *person.upstream.steps)
    work()
    after = person.grant()
    assert after.tat_requests_ns == before.tat_requests_ns and after.tat_tokens_ns == before.tat_tokens_ns
    assert all(grant.running(rows=True) == 1 and grant.running(rows=False) == 0 for grant in seen)
    assert after.period_tokens == before.period_tokens + sum(one["total_tokens"] for one in person.log())
    assert sdk.batches.retrieve(batch.id).status == "completed"


def test_a_revoked_tokens_remaining_rows_fail_in_words(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    batch = made(sdk, [line(number) for number in range(4)])
    work(3)
    account = person.account_id
    assert person.call("DELETE", f"/tokens/{person.token_id}").status_code == 204
    work()
    ended = batches().get(account, batch.id)
    assert (ended.status, ended.counts) == ("completed", (4, 2, 2))
    from sluice.adapters.documents.blobs_folder import FolderBlobs

    body = FolderBlobs(settings.common().data_dir).get(f"files/{account}/{ended.error_file_id}")
    assert body is not None
    for result in map(json.loads, body.splitlines()):
        assert result["response"]["status_code"] == 401 and "revoked" in result["response"]["body"]["error"]["message"]


def test_a_model_that_is_away_makes_rows_wait(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    batch = made(sdk, [line(0)])
    work(1)
    person.upstream.down = True
    work(1)
    assert sdk.batches.retrieve(batch.id).status == "in_progress"
    assert person.grant().leases == {} and [one for one in person.log() if one["endpoint"] != "files"] == []
    person.upstream.down = False
    work()
    assert counts(sdk.batches.retrieve(batch.id)) == (1, 1, 0)


def test_an_account_has_so_many_batches_at_once(
    person: Person, sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setattr("sluice.adapters.runs.batches.MOST_LIVE", 2)
    first, _ = made(sdk, [line(0)]), made(sdk, [line(0)])
    with pytest.raises(openai.ConflictError):
        made(sdk, [line(0)])
    sdk.batches.cancel(first.id)
    work()
    made(sdk, [line(0)])


PRICED = {"id": "demo", "prompt_usd": "100", "completion_usd": "400", "batch_percent": 50}


def test_rows_cost_what_the_owner_chose_and_stay_within_the_money(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    apply(models=[PRICED])
    batch = made(sdk, [line(number) for number in range(2)])
    work()
    assert person.ask().status_code == 200
    records = [one for one in stores.ledger_reader().everything(person.account_id) if one.model == "demo"]
    assert sorted((one.price_percent or 0, one.cost_micro_usd) for one in records) == [(0, 1800), (50, 900), (50, 900)]
    assert sdk.batches.retrieve(batch.id).status == "completed"

    apply(models=[PRICED], plans=[{"name": "poor", "default": True, "monthly_usd": "0.004"}])
    batch = made(sdk, [line(number) for number in range(2)])
    work()
    batch = sdk.batches.retrieve(batch.id)
    assert (batch.status, counts(batch)) == ("completed", (2, 0, 2))
    assert {one["response"]["status_code"] for one in rows_of(sdk, batch.error_file_id)} == {402}
    assert person.grant().leases == {}


@pytest.mark.parametrize(("limit", "much"), [("monthly_tokens", 100_000), ("monthly_usd", "1000")])
def test_a_used_up_row_waits_only_for_what_gives_something_back_to_its_limit(
    person: Person,
    sdk: openai.OpenAI,  # noqa: F811
    limit: str,
    much: Any,
) -> None:
    apply(models=[PRICED])
    poor = person.call("POST", "/tokens", json={"name": "poor", "limits": {limit: much}}).json
    assert poor is not None

    def dying(token: dict[str, str]) -> None:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr("sluice.services.gateway.exchange.settle", dies)
            person.client.post(CHAT, json=person.body, headers=token)

    def batch(status: str) -> list[tuple[int, ...]]:
        """→ the delays of its messages."""
        delays, put = [], FolderQueue.put
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FolderQueue, "put", lambda *to: delays.append(to[3:]) or put(*to))
            file = sdk.files.create(file=("rows.jsonl", jsonl([line(0)])), purpose="batch")
            its = sdk.with_options(api_key=poor["token"]).batches
            made_now = its.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
            work(2)
        assert sdk.batches.retrieve(made_now.id).status == status
        return delays

    own = {"Authorization": f"Bearer {poor['token']}"}
    for token in (person.api_token, own):
        dying(token)
        little = {limit: "0.000001" if limit == "monthly_usd" else 1}
        person.call("PATCH", f"/tokens/{poor['id']}", json={"limits": little})
        if token is own:
            assert batch("in_progress") == [(), (), (GIVEN_BACK_SECONDS,)]  # and not the month that such a refusal says
        else:
            assert batch("completed") == [(), ()]
            person.call("PATCH", f"/tokens/{poor['id']}", json={"limits": {limit: much}})


def dies(*_: Any, **__: Any) -> Any:
    raise SystemExit


def test_an_erased_account_has_no_batches_and_an_export_has_them(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    batch = made(sdk, [line(0)], metadata={"of": "me"})
    work(2)
    export = person.call("GET", "/account/export").text
    assert batch.id in export and "of" in export
    assert person.call("DELETE", "/account", json={"password": PASSWORD}).status_code == 204
    work()
    assert stores.content_store().erase_account(person.account_id, 1)
    assert list(stores.blobs().keys(f"rows/{person.account_id}/")) == []


def test_what_a_batch_needed_is_gone_with_it_and_late_comers_change_nothing(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    batch = made(sdk, [line(number) for number in range(3)])
    work(3)
    account, late = person.account_id, sorted((settings.common().data_dir / BATCH_SPOOL).glob("*.json"))[0].read_text()
    work()
    ended = sdk.batches.retrieve(batch.id)
    told, log = rows_of(sdk, ended.output_file_id), person.log()
    assert list(stores.blobs().keys(f"rows/{account}/{batch.id}/")) == []
    for body in (late, json.dumps({"account_id": account, "run_id": batch.id})):
        assert handler({"Records": [{"messageId": "m", "body": body}]}, None) == {"batchItemFailures": []}
    assert sdk.batches.retrieve(batch.id) == ended and rows_of(sdk, ended.output_file_id) == told
    assert person.log() == log


def test_a_message_that_comes_twice_at_once_changes_nothing(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    batch = made(sdk, [line(number) for number in range(12)])
    folder = settings.common().data_dir / BATCH_SPOOL
    while waiting := sorted(folder.glob("*.json")):
        bodies = [path.read_text() for path in waiting]
        for path in waiting:
            path.unlink()
        records = [{"Records": [{"messageId": "m", "body": body}]} for body in bodies * 2]
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda record: handler(record, None), records))
        assert told == [{"batchItemFailures": []}] * len(records)
    ended = sdk.batches.retrieve(batch.id)
    assert (ended.status, counts(ended)) == ("completed", (12, 12, 0))
    wanted = sorted(f"row-{number}" for number in range(12))
    assert sorted(one["custom_id"] for one in rows_of(sdk, ended.output_file_id)) == wanted
    assert len([one for one in person.log() if one["endpoint"] == "chat.completions"]) == 12
    assert person.grant().leases == {}


def test_a_full_account_makes_no_batch(
    person: Person, sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    file = sdk.files.create(file=("rows.jsonl", jsonl([line(0)])), purpose="batch")
    monkeypatch.setattr("sluice.wiring.runs.documents.storage_bytes", lambda account_id: 10)
    batches.cache_clear()
    with pytest.raises(openai.APIStatusError) as refused:
        sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    assert refused.value.status_code == 413


def may_hold(monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    monkeypatch.setattr("sluice.wiring.runs.documents.storage_bytes", lambda account_id: size_bytes)
    batches.cache_clear()


def test_rows_whose_answers_have_no_room_are_not_executed_and_say_so(
    person: Person, sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    rows = [line(number) for number in range(12)]
    may_hold(monkeypatch, len(jsonl(rows)) + 1_000)  # two answers and a half
    batch = made(sdk, rows)
    work()
    batch = sdk.batches.retrieve(batch.id)
    answered, refused = rows_of(sdk, batch.output_file_id), rows_of(sdk, batch.error_file_id)
    assert batch.status == "completed" and counts(batch) == (12, len(answered), len(refused))
    assert 0 < len(answered) == len(person.upstream.calls) <= 4
    assert {one["error"]["code"] for one in refused} == {"storage_full"}
    assert "Delete files" in refused[0]["error"]["message"]
    assert sorted(one["custom_id"] for one in answered + refused) == sorted(f"row-{number}" for number in range(12))
    assert len([one for one in person.log() if one["endpoint"] == "chat.completions"]) == len(answered)
    with pytest.raises(openai.APIStatusError) as full:
        made(sdk, [line(0)])
    assert full.value.status_code == 413
    sdk.files.delete(batch.error_file_id)
    sdk.files.delete(batch.input_file_id)
    again = made(sdk, [line(0)])
    work()
    assert sdk.batches.retrieve(again.id).request_counts.completed == 1  # type: ignore[union-attr]


def test_results_of_a_batch_that_runs_count_for_another(
    person: Person, sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    rows = [line(number) for number in range(10)]
    first = made(sdk, rows)
    work(5)
    copied, results = batches().store.live_bytes(person.account_id)
    assert copied == len(jsonl(rows)) and results > 0
    sdk.files.delete(first.input_file_id)  # its copy is there all the same
    file = sdk.files.create(file=("rows.jsonl", jsonl(rows)), purpose="batch")
    may_hold(monkeypatch, 2 * len(jsonl(rows)) + results - 1)
    with pytest.raises(openai.APIStatusError) as full:
        sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    assert full.value.status_code == 413
    may_hold(monkeypatch, 10_000_000)
    work()
    assert batches().store.live_bytes(person.account_id) == (0, 0)


def test_a_dead_worker_leaves_the_result_by_which_its_lease_is_settled(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    batch = made(sdk, [line(0), line(1)])
    settled = person.grant()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("sluice.services.gateway.exchange.settle", dies)
        work()
    assert settled.leases == {} and len(person.grant().leases) == 1
    put_again(person, batch.id, 0)
    work()
    assert sdk.batches.retrieve(batch.id).status == "completed"
    (left,) = stores.blobs().keys(f"rows/{person.account_id}/{batch.id}/")
    assert left.endswith("/row/0000000/0000000")


def put_again(person: Person, batch_id: str, line: int) -> None:
    batches().queue.put(person.account_id, slice_name(batch_id, line))


def test_a_refused_row_is_not_executed_by_who_comes_after_its_slice(person: Person, sdk: openai.OpenAI) -> None:  # noqa: F811
    batch = made(sdk, [line(0, model="none")])
    work()
    late, raw = batches().get(person.account_id, batch.id), jsonl([line(0)])
    kept = batches().kept(person.account_id, batch.id, 0, 0)
    assert kept.read() is None and kept.is_done()
    with pytest.raises(Later):  # though its model is there now
        executing(lambda: math.inf).execute(replace(late, status="in_progress"), row_of(raw, 0, CHAT), raw, kept)
    assert person.upstream.calls == [] and person.grant().leases == {} and kept.read() is None


def test_a_result_file_has_its_row_before_its_content_because_ingestion_deletes_what_has_none(
    person: Person, sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    put_file, known = FolderBlobs.put_file, list[bool]()

    def put(blobs: FolderBlobs, key: str, file: Any) -> None:
        _, account_id, file_id = key.split("/")
        known.append(stores.file_store().get(account_id, file_id) is not None)
        put_file(blobs, key, file)

    made(sdk, [line(0), line(1, model="none")])
    monkeypatch.setattr(FolderBlobs, "put_file", put)
    work()
    assert known == [True, True]


def test_a_file_from_windows_and_half_a_surrogate_pair_are_told_in_utf_8(sdk: openai.OpenAI) -> None:  # noqa: F811
    odd = json.dumps(line(1) | {"custom_id": "half \ud83d a pair"}).encode()
    content = b"\xef\xbb\xbf" + json.dumps(line(0)).encode() + b"\r\n" + odd + b"\r\n"
    file = sdk.files.create(file=("rows.jsonl", content), purpose="batch")
    batch = sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    work()
    batch = sdk.batches.retrieve(batch.id)
    assert (batch.status, counts(batch)) == ("completed", (2, 2, 0))
    told = sdk.files.content(batch.output_file_id or "").read().decode()  # strictly
    assert {json.loads(one)["custom_id"] for one in told.splitlines()} == {"row-0", "half \ud83d a pair"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_json_does_not_have_is_a_fault(person: Person, sdk: openai.OpenAI, number: str) -> None:  # noqa: F811
    raw = json.dumps(line(0, logit_bias={"1": 7})).replace("7", number).encode()
    file = sdk.files.create(file=("rows.jsonl", raw), purpose="batch")
    batch = sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    work()
    batch = sdk.batches.retrieve(batch.id)
    assert batch.errors and batch.errors.data and batch.errors.data[0].code == "invalid_json_line"


def test_a_batch_that_is_cancelled_while_it_is_validated_leaves_no_copy(
    person: Person, sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    batch = made(sdk, [line(number) for number in range(20)])
    put = FolderBlobs.put

    def ended_meanwhile(blobs: FolderBlobs, key: str, *told: Any, **more: Any) -> None:
        monkeypatch.undo()
        sdk.batches.cancel(batch.id)
        work()  # another worker ends it
        put(blobs, key, *told, **more)

    monkeypatch.setattr(FolderBlobs, "put", ended_meanwhile)
    work()
    assert sdk.batches.retrieve(batch.id).status == "cancelled"
    assert list(stores.blobs().keys(f"rows/{person.account_id}/{batch.id}/")) == []


@pytest.mark.parametrize(("changed_to", "told"), [("in_progress", (0, 0, 0)), ("cancelling", (20, 0, 20))])
def test_a_cancellation_that_meets_the_end_of_the_validation_is_counted_whole(
    person: Person, sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, changed_to: str, told: tuple[int, int, int]  # noqa: F811
) -> None:  # fmt: skip
    """It comes before the worker's change, or has read the batch before that and changes it later."""
    batch = made(sdk, [line(number) for number in range(20)])
    change = DynamoBatches.change

    def meanwhile(store: DynamoBatches, changed: Any, *more: Any) -> bool:
        if changed.status == changed_to:
            monkeypatch.undo()
            if changed_to == "in_progress":
                sdk.batches.cancel(batch.id)
            else:
                work(1)
        return change(store, changed, *more)

    monkeypatch.setattr(DynamoBatches, "change", meanwhile)
    if changed_to == "cancelling":
        sdk.batches.cancel(batch.id)
    work()
    batch = sdk.batches.retrieve(batch.id)
    assert (batch.status, counts(batch)) == ("cancelled", told)
    assert (batch.output_file_id, bool(batch.error_file_id)) == (None, told[0] > 0)
    assert person.upstream.calls == []


def test_a_batch_whose_message_was_never_sent_is_driven_on_by_who_looks_at_it(
    person: Person, sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    batch = made(sdk, [line(0)])
    folder = settings.common().data_dir / BATCH_SPOOL
    for path in folder.glob("*.json"):
        path.unlink()  # its request died before it was sent
    assert sdk.batches.retrieve(batch.id).status == "validating" and not list(folder.glob("*.json"))
    late = replace(batches(), now_ms=lambda: peers.now_ms() + OVERDUE_MS + 1)
    for _ in range(3):
        late.get(person.account_id, batch.id)
        assert len(list(folder.glob("*.json"))) == 1
    for path in folder.glob("*.json"):
        path.unlink()
    late.get(person.account_id, batch.id)
    assert list(folder.glob("*.json")) == []  # who polls sends one in ten minutes
    late.queue.put(person.account_id, batch.id)
    work()
    assert sdk.batches.retrieve(batch.id).status == "completed"


def test_a_batch_that_is_cancelled_while_it_ends_is_cancelled(
    person: Person, sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    batch = made(sdk, [line(0)])
    change = DynamoBatches.change

    def cancelled_meanwhile(store: DynamoBatches, told: Any, *more: Any) -> bool:
        if told.status == "finalizing":
            monkeypatch.undo()
            assert sdk.batches.cancel(batch.id).status == "cancelling"
        return change(store, told, *more)

    monkeypatch.setattr(DynamoBatches, "change", cancelled_meanwhile)
    work()
    batch = sdk.batches.retrieve(batch.id)
    assert (batch.status, counts(batch)) == ("cancelled", (1, 1, 0)) and len(rows_of(sdk, batch.output_file_id)) == 1


def test_an_account_that_is_erased_meanwhile_gets_nothing_stored(
    person: Person, sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    made(sdk, [line(0)])
    look = _Slice._row

    def erased_meanwhile(turn: Any, *told: Any) -> Any:
        assert person.call("DELETE", "/account", json={"password": PASSWORD}).status_code == 204
        monkeypatch.setattr("sluice.services.batches.LOOK_SECONDS", 0.0)
        return look(turn, *told)

    monkeypatch.setattr(_Slice, "_row", erased_meanwhile)
    work()
    assert list(stores.blobs().keys(f"rows/{person.account_id}/")) == []
