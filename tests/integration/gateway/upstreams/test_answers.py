"""What a server's odd but usable answers become: names, counts, waits, ends."""

import json
from typing import Any

import pytest

from tests.fakes.upstream import chunk
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_owners_terms import apply
from tests.integration.gateway.upstreams.conftest import Ask, Servers
from tests.integration.gateway.upstreams.scripted import DONE, PARIS, STREAM, VECTORS, event, stream, whole

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def with_usage(usage: Any) -> bytes:
    return stream(*PARIS[:3], json.dumps({"choices": [], "usage": usage}).encode())


def chunked(*parts: bytes) -> bytes:
    return CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("theirs", ["their-a", "gpt-4-0613", "assistant ", {"a": 1}, None, 7], ids=str)
def test_an_answer_bears_our_name_of_the_model(theirs: Any, streamed: bool, servers: Servers, ask: Ask) -> None:
    named = [json.dumps({**json.loads(one), "model": theirs}, indent=0).replace("\n", "").encode() for one in PARIS]
    servers.first.script = (stream(*named),)
    outcome = ask(stream=streamed)
    answers = outcome.events if streamed else [json.loads(outcome.body)]
    assert outcome.text == "Paris" and {one["model"] for one in answers} == {"assistant"}
    assert servers.first.asked[0].json["model"] == "their-a"


def test_a_model_of_the_same_name_there_has_it_in_the_answer_too(servers: Servers, ask: Ask) -> None:
    apply(upstreams=servers.tables(models=["any-name"])["upstreams"][:1])
    servers.first.script = (stream(chunk("Paris").replace(b"demo", b"gpt-4-0613")),)
    outcome = ask(model="any-name")
    assert json.loads(outcome.body)["model"] == "any-name" and servers.first.asked[0].json["model"] == "any-name"


def test_vectors_bear_our_name_of_the_model(servers: Servers, caller: Person, ask: Ask) -> None:
    issued: Any = caller.call("POST", "/tokens", json={"name": "all", "scopes": ["inference", "embeddings"]}).json
    caller.api_token["Authorization"] = f"Bearer {issued['token']}"
    servers.first.script = (whole("200 OK", {**VECTORS, "model": "bge-m3-dated"}),)
    outcome = ask("/v1/embeddings", input="Hi")
    answer = json.loads(outcome.body)
    assert answer["model"] == "assistant" and answer["data"] == VECTORS["data"]
    assert (outcome.record.prompt_tokens, outcome.record.estimated) == (3, False)
    nonsense: tuple[Any, ...] = ({"data": [None]}, {"data": 7}, {"vectors": []}, [], b"{")
    for garbage in nonsense:
        servers.first.script = (whole("200 OK", garbage),)
        servers.second.script = (whole("200 OK", VECTORS),)
        assert ask("/v1/embeddings", input="Hi").record.upstream == "second"


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    "usage",
    [None, {}, "much", {"prompt_tokens": -5, "completion_tokens": -7}, {"prompt_tokens": "10"}, {"total_tokens": 9}],
    ids=str,
)
def test_without_counts_the_text_is_counted_and_the_record_says_so(
    usage: Any, streamed: bool, servers: Servers, ask: Ask
) -> None:
    servers.first.script = (stream(*PARIS[:3]) if usage is None or usage == "much" else with_usage(usage),)
    outcome = ask(model="lonely", stream=streamed)
    assert outcome.text == "Paris"
    assert outcome.record.estimated and outcome.record.completion_tokens == 2
    assert 5 <= outcome.record.prompt_tokens <= 40
    told = (outcome.events[-1] if streamed else json.loads(outcome.body)).get("usage")
    assert told is None or (told["prompt_tokens"], told["completion_tokens"]) == (outcome.record.prompt_tokens, 2)


@pytest.mark.parametrize("usage", [{"prompt_tokens": True}, {"prompt_tokens": 4, "completion_tokens": 2}], ids=str)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
def test_odd_counts_break_no_answer_of_another_form(path: str, usage: Any, servers: Servers, ask: Ask) -> None:
    servers.first.script = (with_usage(usage),)
    more = {"input": "Hi"} if path == "/v1/responses" else {"messages": [{"role": "user", "content": "Hi"}]}
    outcome = ask(path, max_tokens=20, **more)
    told = json.loads(outcome.body)["usage"]
    assert outcome.status == 200 and outcome.record.status == 200
    assert (told["input_tokens"], told["output_tokens"]) == (outcome.record.prompt_tokens, 2)


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("count", [10**9, 10**30, 10**18 + 1], ids=str)
def test_counts_are_bounded_by_the_reservation(
    count: int, streamed: bool, servers: Servers, caller: Person, ask: Ask
) -> None:
    tables = servers.tables()
    tables["models"][1] |= {"prompt_usd": "1.00", "completion_usd": "2.00", "cached_usd": "0.50"}
    apply(**tables)
    usage = {"prompt_tokens": count, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": count}}
    servers.first.script = (with_usage(usage),)
    outcome = ask(model="lonely", stream=streamed, max_tokens=20)
    assert outcome.status == 200 and not outcome.record.estimated
    assert outcome.record.total_tokens < 400 and caller.grant().period_tokens == outcome.record.total_tokens
    assert outcome.record.cost_micro_usd is not None and 0 < outcome.record.cost_micro_usd < 1_000
    assert ask(model="lonely", max_tokens=20).status == 200, "the account is not emptied"


def test_counts_in_the_chunk_that_ends_the_answer_are_taken_too(servers: Servers, ask: Ask) -> None:
    last = {**json.loads(PARIS[2]), "usage": {"prompt_tokens": 4, "completion_tokens": 3}}
    servers.first.script = (stream(*PARIS[:2], json.dumps(last).encode()),)
    record = ask().record
    assert (record.prompt_tokens, record.completion_tokens, record.estimated) == (4, 3, False)


@pytest.mark.parametrize("header", ["7", "-5", "soon", "1e9", "9" * 40, "Wed, 21 Oct 2026 07:28:00 GMT", "7.5", ""])
def test_a_wait_is_told_if_it_is_one(header: str, servers: Servers, ask: Ask) -> None:
    servers.first.script = (whole("429 Too Many Requests", {}, f"Retry-After: {header}"),)
    outcome = ask(model="lonely")
    assert outcome.status == 503 and 1 <= int(outcome.headers["Retry-After"]) <= 3600
    if header == "7":
        assert outcome.headers["Retry-After"] == "7"


@pytest.mark.parametrize("stated", [3, -5, 10**30, "soon", True, None, 1.5], ids=str)
def test_a_wait_in_the_answer_is_told_if_it_is_one(stated: Any, servers: Servers, ask: Ask) -> None:
    told = {"error": {"code": "overloaded", "retry_after_s": stated}}
    for script in (whole("503 Service Unavailable", told), stream(json.dumps(told).encode())):
        servers.first.script = (script,)
        assert 1 <= int(ask(model="lonely").headers["Retry-After"]) <= 3600


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    "script",
    [
        b"HTTP/1.0 200 OK\r\n\r\n" + stream(*PARIS).removeprefix(STREAM),
        stream(*PARIS, done=DONE + event(chunk("Rome"))),
        stream(*PARIS, done=DONE + b"\x00garbage" * 4_000),
        chunked(*map(event, PARIS), DONE, event(chunk("Rome"))),
        chunked(*map(event, PARIS), DONE) + b"HTTP/1.1 200 OK\r\n\r\nmore",
        stream(*PARIS).replace(b"\n\n", b"\r\n\r\n"),
        stream(*PARIS).replace(b"data: ", b"data:"),
        stream(*PARIS).replace(b"data: ", b"event: message\nid: 7\ndata: "),
        stream(*PARIS).replace(b'"choices"', b'\r"choices"'),
        stream(PARIS[0].replace(b'"delta"', b'"delta":null,"x"'), *PARIS),
    ],
    ids=[
        "HTTP/1.0",
        "more events",
        "garbage",
        "more chunks",
        "another answer",
        "CRLF",
        "no blank",
        "names",
        "CR",
        "null",
    ],
)
def test_an_answer_ends_where_it_says_so(script: bytes, streamed: bool, servers: Servers, ask: Ask) -> None:
    servers.first.script = (script,)
    for _ in range(2):  # a connection with rests is not used again
        outcome = ask(stream=streamed)
        assert (outcome.status, outcome.text, outcome.record.upstream) == (200, "Paris", "first"), outcome.body
        assert "garbage" not in outcome.body and "\r" not in outcome.body


def test_what_comes_after_the_end_is_not_waited_for(servers: Servers, ask: Ask) -> None:
    servers.first.script = (stream(*PARIS), *(b"x", 0.2) * 10_000)  # longer than a test may take
    assert ask(stream=True).text == "Paris"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_half_a_character_ends_no_answer(path: str, servers: Servers, ask: Ask) -> None:
    servers.first.script = (stream(chunk("\ud83d"), chunk("\ude00 \ud800"), *PARIS),)
    asked: Any = {"/v1/responses": {"input": "Hi"}}.get(
        path, {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}
    )
    for streamed in (False, True):
        headers = {} if path == "/v1/chat/completions" else {"x-test": "1"}
        if path != "/v1/chat/completions" and streamed:
            continue
        outcome = ask(path, stream=streamed, headers=headers, **asked)
        assert outcome.status == 200 and outcome.record.upstream == "first"
        assert "Paris" in outcome.body or outcome.text.endswith("Paris")
