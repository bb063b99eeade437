"""Every way in which a server can fail before its answer begins: the next one answers, or the caller gets a 503."""

import gzip
import json
from collections.abc import Iterable
from typing import Any

import pytest

from sluice.adapters.gateway import upstream
from sluice.services.gateway import route
from sluice.wiring import upstreams
from tests.fakes.upstream import chunk
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_owners_terms import apply
from tests.integration.gateway.upstreams.conftest import KEYS, Ask, Servers
from tests.integration.gateway.upstreams.scripted import PARIS, STREAM, Part, event, stream, whole
from tests.ports import free_port
from tests.waiting import eventually

KEY = KEYS["FIRST_KEY"]
IDLE_SECONDS = 0.6  # of silence, where a server is silent
FOREVER = 1_000.0  # longer than a test may take
NO_CHUNKS = {
    "no JSON": b"<html>",
    "cut JSON": b'{"choices":[{"delta":{"con',
    "a list": b"[]",
    "a number": b"7",
    "no choices": b'{"object":"chat.completion.chunk"}',
    "choices of another kind": b'{"choices":7}',
    "a choice that is null": b'{"choices":[null]}',
    "text of another kind": b'{"choices":[{"delta":{"content":5}}]}',
    "a delta of another kind": b'{"choices":[{"delta":"Paris"}]}',
    "an index of another kind": b'{"choices":[{"index":{},"delta":{}}]}',
    "a call far away": b'{"choices":[{"delta":{"tool_calls":[{"index":1000000000,"function":{"name":"x"}}]}}]}',
    "a call before the first": b'{"choices":[{"delta":{"tool_calls":[{"index":-1}]}}]}',
    "a call of another kind": b'{"choices":[{"delta":{"tool_calls":[{"function":"x"}]}}]}',
    "a reason of another kind": b'{"choices":[{"delta":{},"finish_reason":5}]}',
    "usage of another kind": b'{"choices":[],"usage":"much"}',
    "no number": b'{"choices":[],"x":NaN}',
    "no Unicode": b'{"choices":[{"delta":{"content":"\xff\xfe"}}]}',
    "too deep": b"[" * 100_000,
    "a long number": b'{"choices":[],"created":' + b"9" * 5_000 + b"}",
}
ERRORS = {
    "overloaded": {"error": {"message": "busy", "code": "overloaded"}},
    "a text": {"error": "something"},
    "with a status": {"error": {"message": f"bad key {KEY}", "code": 401}},
    "an odd wait": {"error": {"message": "busy", "code": "overloaded", "retry_after_s": "soon"}},
    "beside choices": {"choices": [], "error": {"message": "boom", "code": 502}},
}
SECRETS: dict[str, Any] = {
    "error": {"message": f"Incorrect API key provided: {KEY}", "param": KEY, "code": KEY},
    "key": KEY,
}


def dripped(raw: bytes) -> Iterable[Part]:
    """Byte by byte, each within the time for silence."""
    for number in range(len(raw)):
        yield raw[number : number + 1]
        yield IDLE_SECONDS / 4
    yield FOREVER


FAILURES: dict[str, Iterable[Part]] = {
    "closes": (),
    "blackhole": (FOREVER,),
    "429": (whole("429 Too Many Requests", {"error": {"message": "slow down"}}, "Retry-After: 7"),),
    "503": (whole("503 Service Unavailable", {}),),
    "500": (whole("500 Internal Server Error", b"<html>" + KEY.encode()),),
    "401": (whole("401 Unauthorized", SECRETS, f"WWW-Authenticate: {KEY}"),),
    "403": (whole("403 Forbidden", SECRETS),),
    "404": (whole("404 Not Found", {**SECRETS, "error": {**SECRETS["error"], "code": "model_not_found"}}),),
    "418": (whole("418 I'm a teapot", SECRETS),),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n",),
    "206": (whole("206 Partial Content", PARIS[0]),),
    "301": (whole("301 Moved Permanently", b"", "Location: {elsewhere}"),),
    "302": (whole("302 Found", b"", "Location: {elsewhere}"),),
    "307": (whole("307 Temporary Redirect", b"", "Location: {elsewhere}"),),
    "308": (whole("308 Permanent Redirect", b"", "Location: {elsewhere}"),),
    "JSON": (whole("200 OK", {"choices": [{"message": {"content": "Paris"}}]}),),
    "garbage JSON": (whole("200 OK", b'{"choices": [{"mess'),),
    "garbage": (STREAM + bytes(range(256)) * 40,),
    "no HTTP": (b"220 mail.example.com ESMTP\r\n\r\n",),
    "another version": (b"HTTP/3 200 OK\r\n\r\n" + event(PARIS[0]),),
    "no status": (b"HTTP/1.1 OK\r\n\r\n" + event(PARIS[0]),),
    "HTML": (b"HTTP/1.1 200 OK\r\n\r\n<!doctype html>\n<p>data: Paris\n" * 50,),
    "gzip": (STREAM.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + gzip.compress(stream(*PARIS)),),
    "HTTP/1.0 without a body": (b"HTTP/1.0 200 OK\r\n\r\n",),
    "empty": (STREAM,),
    "nothing but its end": (stream(),),
    "comments only": (STREAM + b": ping\n\n" * 3,),
    "comments forever": (STREAM, *(b": ping\n\n", IDLE_SECONDS / 2) * 40),
    "lines that mean nothing": (STREAM, *(b"event: x\nid: 7\n\n", IDLE_SECONDS / 2) * 40),
    "half an event": (STREAM + event(PARIS[0])[:20],),
    "half a head": (STREAM[:20],),
    "a length that lies": (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + event(PARIS[0])[:9],),
    "a length that is none": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + event(PARIS[0]),),
    "a length of many digits": (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",),
    "a chunk without a size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n" + event(PARIS[0]),),
    "another coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" + event(PARIS[0]),),
    "10 MB of headers": (b"HTTP/1.1 200 OK\r\n", *(b"X-Pad: " + b"x" * 100_000 + b"\r\n",) * 100, b"\r\n"),
    "1 GB in a line": (STREAM + b"data: ", *(b"x" * 1_000_000,) * 1_000),
    "a line that is no event": (STREAM, *(b"x" * 1_000_000,) * 20),
    "endless interim answers": (*(b"HTTP/1.1 100 Continue\r\n\r\n" * 100,) * 100, FOREVER),
    "a head byte by byte": (*dripped(STREAM * 9),),
    "chunk sizes byte by byte": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        *dripped(b"0" * 600),
    ),
    "slow first byte": (20 * IDLE_SECONDS, stream(*PARIS)),
    "slow first event": (STREAM, 20 * IDLE_SECONDS, event(PARIS[0])),
    **{f"event: {name}": (stream(payload, *PARIS),) for name, payload in NO_CHUNKS.items()},
    **{f"error: {name}": (stream(json.dumps(one).encode()),) for name, one in ERRORS.items()},
}
SILENT = (
    "blackhole",
    "endless interim answers",
    "a head byte by byte",
    "slow first byte",
    "slow first event",
)
ENDLESS = ("comments forever", "lines that mean nothing")  # they end with the deadline only
TO_THE_DEADLINE = (*ENDLESS, "chunk sizes byte by byte")


@pytest.fixture(autouse=True)
def deadline(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A short one for what nothing else ends, but not for the server after it: this machine may be slow."""
    if "failure" in request.fixturenames and request.getfixturevalue("failure") in TO_THE_DEADLINE:
        monkeypatch.setenv("SLUICE_REQUEST_DEADLINE_SECONDS", "4")
        monkeypatch.setattr(route, "LEAST_SECONDS", 60.0)


@pytest.fixture
def failing(servers: Servers, caller: Person, failure: str) -> Servers:
    """`first` fails so."""
    servers.first.script = located(FAILURES[failure], servers)
    if failure in SILENT:
        upstreams.routes().servers["first"].upstream._idle_seconds = IDLE_SECONDS  # type: ignore[attr-defined]
    return servers


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("failure", FAILURES)
def test_the_next_server_answers_for_one_that_fails(failure: str, streamed: bool, failing: Servers, ask: Ask) -> None:
    if failure in ENDLESS:
        pytest.skip("it lives, so it is waited for until the deadline")
    outcome = ask(stream=streamed)
    assert (outcome.status, outcome.text) == (200, "Paris"), outcome.body
    assert outcome.record.upstream == outcome.headers["x-sluice-upstream"] == "second"
    assert (outcome.record.prompt_tokens, outcome.record.completion_tokens) == (10, 2)
    eventually(lambda: failing.first.asked)  # it reads in a thread of its own, and may have been left before that
    assert len(failing.first.asked) == len(failing.second.asked) == 1
    assert failing.second.asked[0].json["model"] == "their-b"


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("failure", FAILURES)
def test_without_a_next_one_the_caller_gets_an_error_in_time(
    failure: str, streamed: bool, failing: Servers, ask: Ask
) -> None:
    outcome = ask(model="lonely", stream=streamed)
    code = json.loads(outcome.body)["error"]["code"]
    assert (outcome.status, code) in (
        (503, "model_unavailable"), (503, "overloaded"), (504, "upstream_timeout"), (404, "model_not_found"),
    ), outcome.body  # fmt: skip
    assert (outcome.record.upstream, outcome.record.status) == ("first", outcome.status)
    assert outcome.record.total_tokens == 0 and failing.second.asked == []


def located(script: Iterable[Part], servers: Servers) -> list[Part] | Iterable[Part]:
    """The script, with redirects that lead to the second server."""
    if not isinstance(script, tuple):
        return script
    return [
        part.replace(b"{elsewhere}", servers.second.url.encode()) if isinstance(part, bytes) else part
        for part in script
    ]


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_a_server_that_refuses_the_connection_is_followed_by_the_next(
    streamed: bool, servers: Servers, ask: Ask
) -> None:
    apply(**servers.tables(url=f"http://127.0.0.1:{free_port()}/v1"))
    assert ask(stream=streamed).record.upstream == "second"
    assert ask(model="lonely", stream=streamed).status == 503


def test_a_request_that_is_refused_for_its_form_is_asked_of_nobody_else(servers: Servers, ask: Ask) -> None:
    address = servers.first.url.removeprefix("http://").partition("/")[0]
    told = {"error": {"message": f"temperature is too high, {KEY}, at {address}", "param": "temperature"}}
    servers.first.script = (whole("400 Bad Request", told),)
    outcome = ask(temperature=2)
    assert outcome.status == 400 and "temperature is too high, [hidden], at [hidden]" in outcome.body
    assert servers.second.asked == [] and outcome.record.upstream == "first"


LATER: dict[str, tuple[Part, ...]] = {
    "broken off": (),
    "silent": (FOREVER,),
    "garbage": (event(b"<html>"), *map(event, PARIS)),
    "no chunk": (event(b'{"choices":[null]}'), *map(event, PARIS)),
    "an error": (event(json.dumps({"error": {"message": f"boom {KEY}", "code": 500}}).encode()),),
    "a line without an end": (b"data: " + b"x" * 3_000_000,),
    "a forged count": (b": usage 1 1\n", event(b"<html>")),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("failure", LATER)
def test_once_an_answer_has_begun_nobody_else_is_asked(
    failure: str, streamed: bool, servers: Servers, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    if failure == "silent":  # after its first event, for which this machine may take longer
        begin = upstream.HttpStream.__init__
        silence: Any = lambda self, pool, connection, response, _, *more: begin(  # noqa: E731
            self, pool, connection, response, IDLE_SECONDS, *more
        )
        monkeypatch.setattr(upstream.HttpStream, "__init__", silence)
    servers.first.script = (STREAM + event(chunk("Pa")), *LATER[failure])
    outcome = ask(stream=streamed)
    assert servers.second.asked == [] and outcome.record.upstream == "first"
    assert outcome.record.status in (503, 504) and outcome.record.estimated
    if streamed:
        assert (outcome.status, outcome.text) == (200, "Pa") and "[DONE]" not in outcome.body
        assert outcome.events[-1]["error"]["code"] in ("model_unavailable", "upstream_timeout")
    else:
        assert outcome.status == outcome.record.status


def test_a_redirect_of_the_list_of_models_is_not_followed(servers: Servers, ask: Ask) -> None:
    servers.first.listed = whole("302 Found", b"", f"Location: {servers.second.url}/models")
    servers.second.listed = whole("200 OK", {"data": [{"id": "their-a", "context_window": 1}]})
    assert ask(model="lonely").status == 200
    assert servers.second.asked == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"])
def test_every_dialect_falls_through(path: str, servers: Servers, ask: Ask) -> None:
    asked: Any = {
        "/v1/completions": {"prompt": "Hi"},
        "/v1/responses": {"input": "Hi"},
        "/v1/messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9},
    }.get(path, {})
    servers.first.script = (whole("503 Service Unavailable", {}),)
    if path == "/v1/completions":
        choice = {"index": 0, "text": "Paris", "finish_reason": "stop"}
        servers.second.script = (stream(json.dumps({"choices": [choice]}).encode()),)
    outcome = ask(path, **asked)
    assert (outcome.status, outcome.record.upstream) == (200, "second")
