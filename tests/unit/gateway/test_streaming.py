"""A running request, streamed or not, is settled exactly once, before the last byte, however it ends."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from sluice.domain import errors
from sluice.domain.gateway.admission import AdmissionRequest, Limits
from sluice.domain.ids import request_id
from sluice.domain.usage.ledger import LedgerRecord
from sluice.http.errors import ledger_status, row_for
from sluice.http.gateway import streaming
from sluice.http.gateway.streaming import ChatDialect, streamed_answer, whole_answer
from sluice.ports.gateway import Asked
from sluice.services.gateway.admit import Admission
from sluice.services.gateway.exchange import Bookkeeping, ClientGone, Exchange, take_usage
from sluice.services.gateway.request import RequestContext
from sluice.services.gateway.settle_later import SettleLater
from tests.fakes.hot_store import FakeHotStore, grant_of
from tests.fakes.upstream import FakeClock, FakeStream, Step, chunk, usage_chunk
from tests.waiting import eventually

NOW_NS = 1_800_000_000_000_000_000


class Watcher:
    def __init__(self) -> None:
        self.records: list[LedgerRecord] = []
        self.failures = 0

    def settling(self) -> AbstractContextManager[object]:
        return nullcontext()

    def settled(self, record: LedgerRecord, seconds: float) -> None:
        self.records.append(record)

    def settlement_failed(self) -> None:
        self.failures += 1


class Keeper:
    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.ended = 0

    def add(self, payload: bytes) -> None:
        self.payloads.append(payload)

    def end(self) -> None:
        self.ended += 1


class World:
    def __init__(self, settle_for_seconds: float = 30) -> None:
        self.clock = FakeClock(NOW_NS)
        self.store, self.watcher = FakeHotStore(), Watcher()
        self.store.grants["usr_a"] = grant_of(now_ms=NOW_NS // 1_000_000)
        self.admission = Admission(self.store, Limits(60, 40_000, 4, 1_000_000))
        self.gone = False
        request = AdmissionRequest(
            "usr_a", request_id(NOW_NS // 1_000_000), "tok_a", 200, "demo", "chat.completions", True
        )
        self.admitted = self.admission.admit(request, NOW_NS)
        books = Bookkeeping(
            self.store, self.clock, self.watcher, SettleLater(0.01, settle_for_seconds), self.admission.remember
        )
        context = RequestContext(request.request_id, ledger_status, lambda: self.gone)
        self.exchange = Exchange(books, self.admitted, context)
        self.keeper = Keeper()

    @property
    def records(self) -> list[LedgerRecord]:
        return list(self.store.ledger.values())

    def stream(self, *steps: Step, include_usage: bool = False) -> tuple[Iterator[bytes], Any, FakeStream]:
        upstream = FakeStream(steps)
        with Flask("t").test_request_context():
            response = streamed_answer(self.exchange, upstream, self.keeper, ChatDialect(include_usage=include_usage))
        return iter(response.response), response, upstream  # type: ignore[arg-type]

    def assert_settled(self, status: int, completion: int) -> LedgerRecord:
        (record,) = self.records
        grant = self.store.grants["usr_a"]
        assert (record.status, record.completion_tokens) == (status, completion)
        assert grant.leases == {}
        assert grant.period_tokens == record.total_tokens
        assert len(self.watcher.records) == 1
        assert self.keeper.ended <= 1
        return record


CHAT = ChatDialect(include_usage=True)
ANSWER: tuple[Step, ...] = (chunk("a"), chunk("b"), chunk(None, "stop"), usage_chunk(10, 2))


def test_a_stream_is_settled_before_its_last_bytes() -> None:
    world = World()
    body, _, _ = world.stream(*ANSWER)
    first, second = next(body), next(body)
    assert (b'"a"' in first, b'"b"' in second, world.records) == (True, True, [])
    last = next(body)
    world.assert_settled(200, 2)
    assert last.endswith(b"data: [DONE]\n\n")
    assert b"usage" not in last
    assert list(body) == []


def test_the_usage_chunk_is_sent_only_if_requested() -> None:
    world = World()
    body, _, _ = world.stream(*ANSWER, include_usage=True)
    assert b'"total_tokens":12' in b"".join(body)


def test_where_usage_was_requested_every_chunk_but_the_last_has_usage_null() -> None:
    world = World()
    said = chunk('{"usage": "of a word"}')
    body, _, _ = world.stream(said, *ANSWER, include_usage=True)
    *before, last = [json.loads(line[6:]) for line in b"".join(body).splitlines() if line.startswith(b"data: {")]
    assert [one["usage"] for one in before] == [None] * 4
    assert before[0]["choices"] == json.loads(said)["choices"]
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 12)


def test_a_silence_between_tokens_is_filled_with_comments_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty line would let some SDKs dispatch an event without data (openai-go #621)."""
    now_s = iter(range(0, 1000, 5))
    monkeypatch.setattr(streaming.time, "monotonic", lambda: next(now_s))
    silence = [b""] * 6
    world = World()
    body, _, _ = world.stream(chunk("a"), *silence, chunk("b"), *silence, chunk(None, "stop"), *silence)
    sent = list(body)
    comments = [index for index, block in enumerate(sent) if block == b": still working\n"]
    assert len(comments) >= 6 and sent.count(streaming.COMMENT) == len(comments)
    assert comments[0] < next(i for i, block in enumerate(sent) if b'"b"' in block) < comments[-1]


def test_a_client_that_disconnects_is_charged_for_the_generated_tokens() -> None:
    world = World()
    body, response, upstream = world.stream(*ANSWER)
    next(body)
    world.gone = True
    assert list(body) == []
    response.close()
    assert upstream.closed
    assert (
        world.assert_settled(499, 2).finish_reason == "cancelled"
    )  # the token that could not be delivered was generated too


def test_a_failed_write_closes_and_settles_once() -> None:
    world = World()
    body, response, _ = world.stream(*ANSWER)
    next(body)
    response.close()
    response.close()
    world.assert_settled(499, 1)


def test_a_response_that_never_started_is_settled_too() -> None:
    world = World()
    _, response, upstream = world.stream(*ANSWER)
    response.close()
    assert upstream.closed
    world.assert_settled(499, 1)


def test_a_revoked_token_ends_the_stream_at_the_next_checkpoint() -> None:
    world = World()

    def revoke() -> None:
        world.clock.pass_seconds(4)
        world.store.grants["usr_a"] = replace(world.store.grants["usr_a"], live={})

    body, _, upstream = world.stream(chunk("a"), revoke, chunk("b"), chunk("c"))
    blocks = list(body)
    assert b"revoked" in blocks[-1] and b"[DONE]" not in b"".join(blocks)
    assert upstream.closed
    world.assert_settled(401, 2)


def test_a_suspended_account_ends_the_stream_at_the_next_checkpoint() -> None:
    world = World()

    def suspend() -> None:
        world.clock.pass_seconds(4)
        world.store.grants["usr_a"] = replace(world.store.grants["usr_a"], standing="suspended")

    body, _, _ = world.stream(chunk("a"), suspend, chunk("b"))
    assert json.loads(list(body)[-1][6:])["error"]["code"] == "account_suspended"
    world.assert_settled(403, 2)


def test_checkpoints_record_the_counts_and_renew_the_lease() -> None:
    world = World()
    seen = []

    def look() -> None:
        (lease,) = world.store.grants["usr_a"].leases.values()
        seen.append((lease.completion_tokens, lease.expires_ms))

    wait = lambda: world.clock.pass_seconds(4)  # noqa: E731
    body, _, _ = world.stream(chunk("a"), wait, chunk("b"), look, *ANSWER[2:])
    list(body)
    assert seen == [(2, world.clock() // 1_000_000 + 30_000)]


def test_a_stream_continues_when_a_checkpoint_finds_the_store_unavailable() -> None:
    world = World()

    def away() -> None:
        world.clock.pass_seconds(4)
        world.store.away = True

    def back() -> None:
        world.store.away = False

    body, _, _ = world.stream(chunk("a"), away, chunk("b"), back, *ANSWER[2:])
    assert b"".join(body).endswith(b"[DONE]\n\n")
    world.assert_settled(200, 2)


def test_a_settlement_that_the_store_did_not_take_is_repeated_with_the_exact_counts() -> None:
    world = World()

    def away() -> None:
        world.store.away = True

    body, _, _ = world.stream(chunk("a"), away, *ANSWER[2:])
    assert b"".join(body).endswith(b"[DONE]\n\n")
    assert world.records == [] and len(world.store.grants["usr_a"].leases) == 1
    world.store.away = False
    eventually(lambda: world.watcher.records)
    world.assert_settled(200, 2)
    assert world.watcher.failures == 0


def test_a_settlement_that_can_never_be_written_leaves_the_lease_to_the_sweeper() -> None:
    world = World(settle_for_seconds=0.1)
    world.store.away = True
    world.exchange.settle(200, "stop")
    eventually(lambda: world.watcher.failures)
    assert world.records == [] and len(world.store.grants["usr_a"].leases) == 1


def test_a_model_that_breaks_off_gives_an_error_event_without_done() -> None:
    world = World()
    body, _, _ = world.stream(chunk("a"), errors.ModelUnavailable("The model broke off its answer."))
    blocks = list(body)
    assert json.loads(blocks[-1][6:])["error"]["code"] == "model_unavailable"
    assert b"[DONE]" not in b"".join(blocks)
    world.assert_settled(503, 1)


@pytest.mark.parametrize("kind", [errors.ContextLengthExceeded, errors.ModelNotFound, errors.UpstreamTimeout])
def test_the_ledger_records_the_status_that_the_caller_gets(kind: type[errors.SluiceError]) -> None:
    world = World()
    with pytest.raises(kind):
        world.stream(kind())
    world.assert_settled(row_for(kind).status, 0)


def test_a_failure_before_the_first_event_sets_the_http_status() -> None:
    world = World()
    told = {"error": {"message": "full", "code": "overloaded", "status": 503, "retry_after_s": 7}}
    with pytest.raises(errors.Overloaded) as refused:
        world.stream(b"", json.dumps(told, separators=(",", ":")).encode())
    assert refused.value.retry_after_seconds == 7
    world.assert_settled(503, 0)


def test_a_schema_that_turns_out_too_costly_ends_the_stream_with_its_code() -> None:
    world = World()
    told = {"error": {"message": "simpler", "code": "unsupported_schema", "param": "response_format", "status": 400}}
    body, _, _ = world.stream(chunk("a"), json.dumps(told, separators=(",", ":")).encode())
    error = json.loads(list(body)[-1][6:])["error"]
    assert (error["code"], error["param"], error["message"]) == ("unsupported_schema", "response_format", "simpler")
    world.assert_settled(400, 1)


def test_an_answer_that_breaks_its_schema_twice_is_a_502_that_no_sdk_repeats() -> None:
    world = World()
    told = {"error": {"message": "The answer has a fault.", "code": "schema_not_met", "param": None, "status": 502}}
    body, _, _ = world.stream(chunk("a"), json.dumps(told, separators=(",", ":")).encode())
    error = json.loads(list(body)[-1][6:])["error"]
    assert (error["code"], error["message"]) == ("schema_not_met", "The answer has a fault.")
    world.assert_settled(502, 1)
    assert errors.SchemaNotMet.headers == {"x-should-retry": "false"}


def test_an_answer_without_streaming_is_settled_with_exact_counts() -> None:
    world = World()
    with Flask("t").test_request_context():
        response = whole_answer(world.exchange, FakeStream(ANSWER), world.keeper, CHAT)
    answer = json.loads(response.get_data())
    assert answer["choices"][0]["message"]["content"] == "ab"
    assert answer["usage"]["total_tokens"] == 12
    assert world.assert_settled(200, 2).finish_reason == "stop"
    assert (len(world.keeper.payloads), world.keeper.ended) == (4, 1)


def test_a_disconnect_is_noticed_without_streaming_too() -> None:
    world = World()
    world.gone = True
    upstream = FakeStream(ANSWER)
    with pytest.raises(ClientGone):
        whole_answer(world.exchange, upstream, world.keeper, CHAT)
    assert upstream.closed
    world.assert_settled(499, 1)


def test_a_malformed_model_answer_is_an_error_event_and_a_500(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    nonsense = b'{"choices":7,"usage":{}}'
    body, response, _ = world.stream(chunk("a"), chunk(None, "stop"), nonsense)
    blocks = list(body)
    response.close()
    assert json.loads(blocks[-1][6:])["error"]["code"] == "internal_error"
    world.assert_settled(500, 1)
    assert "a stream failed" in caplog.text


@pytest.mark.parametrize("count", ["many", -1, 1.5, None, True, [], 1e999], ids=str)
def test_usage_that_is_no_count_is_none(count: Any) -> None:
    stream = FakeStream([])
    stream.completion_tokens, stream.estimated = 7, True
    take_usage(stream, {"usage": {"prompt_tokens": count, "completion_tokens": count}})
    assert (stream.prompt_tokens, stream.completion_tokens, stream.estimated) == (10, 7, True)


def _of(index: int, text: str | None = None, reason: str | None = None) -> bytes:
    """A chunk of the choice `index`."""
    return chunk(text, reason).replace(b'"index":0', b'"index":%d' % index)


def test_the_choices_of_a_server_that_ends_them_one_by_one_all_arrive_before_the_end() -> None:
    """The first finish chunk is passed on as soon as another choice goes on; the last is held until settlement."""
    world = World()
    interleaved = [
        _of(0, "a"), _of(1, "b"), _of(0, None, "stop"), _of(1, "c"), _of(1, None, "length"), usage_chunk(10, 3),
    ]  # fmt: skip
    body, _, _ = world.stream(*interleaved)
    sent, seen_at = b"", None
    for block in body:
        sent += block
        if b'"finish_reason":"length"' in block:
            seen_at = len(world.records)
    assert [sent.count(b'"index":%d' % index) for index in (0, 1)] == [2, 3]
    assert seen_at == 1, "the last finish chunk is sent after settlement"
    assert (world.records[0].completion_tokens, world.records[0].finish_reason) == (3, "length")


def test_a_server_that_ignores_n_is_settled_before_its_only_finish_chunk() -> None:
    world = World()
    body, _, _ = world.stream(_of(0, "a"), _of(0, None, "stop"), usage_chunk(10, 1))
    blocks = []
    for block in body:
        blocks.append((block, len(world.records)))
    ends = [records for block, records in blocks if b'"finish_reason":"stop"' in block]
    assert ends == [1] and world.records[0].finish_reason == "stop"


def test_content_after_a_choices_own_end_is_kept_for_the_end_and_counted() -> None:
    world = World()
    body, _, _ = world.stream(_of(0, "a"), _of(0, None, "stop"), _of(0, "late"), usage_chunk(10, 2))
    sent = b"".join(body)
    assert sent.index(b'"finish_reason":"stop"') < sent.index(b"late") and sent.endswith(streaming.DONE)
    assert world.records[0].completion_tokens == 2 and len(world.records) == 1


def test_the_lease_lasts_while_one_silent_server_after_the_other_is_asked() -> None:
    world = World()
    for name in ("near", "far", "last"):
        world.exchange.asked(Asked(name))
        world.clock.pass_seconds(29)
    (lease,) = world.store.grants["usr_a"].leases.values()
    assert not lease.expired(world.clock.now_ns // 1_000_000) and lease.upstream == "last"
    world.store.grants["usr_a"] = replace(world.store.grants["usr_a"], live={})
    with pytest.raises(errors.InvalidApiToken):
        world.exchange.asked(Asked("more"))
