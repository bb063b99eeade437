"""`/v1/run`: any body to a model behind HTTP, and its answer back, on a real store and a scripted server."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from sluice.adapters.gateway import http_model
from sluice.domain import errors
from sluice.services.gateway import exchange
from sluice.wiring import upstreams
from sluice.wiring.upstreams import elsewhere
from tests.fakes.http_server import CHUNKED, SILENCE, ScriptedServer, Step, answer, chunk, scripted_server
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_owners_terms import apply

SECRET = "sk-of-the-owner-1234"
PRICED = {"request_usd": "0.001", "second_usd": "0.0005", "max_seconds": 30}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.fixture
def servers(person: Person, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ScriptedServer]]:
    made: list[Any] = []
    monkeypatch.setattr(upstreams, "elsewhere", lambda one: made.append(elsewhere(one)) or made[-1])
    monkeypatch.setenv("MODEL_KEY", SECRET)
    with ExitStack() as opened:
        yield [opened.enter_context(scripted_server()) for _ in range(2)]
        for upstream in made:
            upstream._pool.close()


@pytest.fixture
def server(servers: list[ScriptedServer]) -> ScriptedServer:
    """The only upstream of the model `ocr`, at `/predict`."""
    settle_on(servers[:1])
    return servers[0]


def settle_on(servers: list[ScriptedServer], **more: Any) -> None:
    named = [
        {"name": f"box{n}", "kind": "http", "url": f"{one.url}/predict", "key": "env:MODEL_KEY"}
        for n, one in enumerate(servers)
    ]
    model = {"id": "ocr", "aliases": ["eyes"], "upstreams": [f"{one['name']}:their-ocr" for one in named], **PRICED}
    apply(upstreams=[{"name": "local", "kind": "engine"}, *named], models=[{**model, **more}])


def run(person: Person, body: bytes = PNG, model: str = "ocr", **fields: Any) -> Any:
    headers = {"Content-Type": "image/png", **person.api_token, **fields.pop("headers", {})}
    return person.client.post(f"/v1/run/{model}", data=body, headers=headers, **fields)


def settled(person: Person) -> dict[str, Any]:
    """The one record."""
    (record,) = person.log()
    assert person.grant().leases == {}
    return record


# --- what is passed


@pytest.mark.parametrize("model", ["ocr", "eyes"])
def test_a_body_is_passed_on_and_the_answer_back(person: Person, server: ScriptedServer, model: str) -> None:
    server.script(answer(b'{"text":"Hello"}', content_type="application/json; charset=utf-8"))
    found = run(person, model=model)
    assert (found.status_code, found.data) == (200, b'{"text":"Hello"}'), found.data
    assert found.headers["content-type"] == "application/json; charset=utf-8"
    assert found.headers["x-sluice-upstream"] == "box0" and found.headers["x-ratelimit-limit-requests"]
    (asked,) = server.asked
    assert (asked.line, asked.body) == ("POST /predict HTTP/1.1", PNG)
    assert asked.headers["content-type"] == "image/png" and asked.headers["authorization"] == f"Bearer {SECRET}"
    record = settled(person)
    assert (record["endpoint"], record["model"], record["status"]) == ("run", "ocr", 200)
    assert (record["prompt_tokens"], record["completion_tokens"], record["stream"]) == (0, 0, False)
    assert float(found.headers["x-sluice-price-usd"]) == record["estimated_cost_usd"] >= 0.001
    assert person.grant().period_tokens == 0


@pytest.mark.parametrize("body", [b"", b"x" * 4 * 2**20], ids=["none", "4 MiB"])
def test_bodies_from_none_to_4_mib_are_passed(person: Person, server: ScriptedServer, body: bytes) -> None:
    server.script(answer(b"ok"))
    assert run(person, body).status_code == 200
    assert server.asked[0].body == body


def test_a_larger_body_is_a_413_encoded_or_not(person: Person, server: ScriptedServer) -> None:
    server.script(answer(b"ok"))
    body = b"x" * (4 * 2**20 + 1)
    assert run(person, body).status_code == 413
    encoded = {"Content-Encoding": "gzip"}
    assert run(person, gzip.compress(body), headers=encoded).status_code == 413
    assert server.asked == [] and person.log() == []
    assert run(person, gzip.compress(PNG), headers=encoded).status_code == 200
    assert server.asked[0].body == PNG and "content-encoding" not in server.asked[0].headers


def test_nothing_that_tells_who_asks_is_passed_on(person: Person, server: ScriptedServer) -> None:
    server.script(answer(b"ok"))
    told = {
        "Cookie": "a=b", "X-Sluice-Account": "usr_1", "X-Api-Key": "k", "X-Forwarded-For": "10.1.2.3", "Origin": "http://x",
        "Connection": "x-secret", "X-Secret": "s", "Referer": "http://x", "User-Agent": "me", "Accept": "image/*",
    }  # fmt: skip
    assert run(person, headers=told).status_code == 200
    names = {
        "host",
        "authorization",
        "content-type",
        "content-length",
        "accept",
        "accept-encoding",
        "x-client-request-id",
    }
    assert set(server.asked[0].headers) == names
    assert person.api_token["Authorization"] not in str(server.asked)


def test_of_the_answers_headers_only_its_type_is_told_and_no_browser_shows_it(
    person: Person, server: ScriptedServer
) -> None:
    page = b"<script>alert(document.cookie)</script>"
    told = {"set_cookie": "sluice_session=x", "x_powered_by": "10.0.0.5", "content_security_policy": "default-src *"}
    server.script(answer(page, content_type="text/html", **told, location="/login", refresh="0"))
    found = run(person)
    assert (found.data, found.headers["content-type"]) == (page, "text/html")
    assert not {"set-cookie", "x-powered-by", "location", "refresh"} & {name.lower() for name, _ in found.headers}
    assert found.headers["content-disposition"] == "attachment"
    assert found.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert found.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("kind", ["", "text", "text/html\x01", "a" * 300 + "/b", "text/plain; x=\xff"])
def test_a_type_that_is_none_is_octets(person: Person, server: ScriptedServer, kind: str) -> None:
    server.script(answer(b"ok", content_type=kind))
    assert run(person).headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(("told", "status"), [(201, 201), (202, 202), (204, 204), (206, 200)])
def test_another_success_is_told(person: Person, server: ScriptedServer, told: int, status: int) -> None:
    server.script(answer(b"" if told == 204 else b"ok", told))
    assert run(person).status_code == status
    assert settled(person)["status"] == 200


def test_an_answer_is_passed_on_as_it_comes(person: Person, server: ScriptedServer) -> None:
    first = run(person, b"", model="none")  # so that the model is known
    assert first.status_code == 404
    more = threading.Event()
    server.script(CHUNKED, chunk(b"one"), lambda: more.wait(20) or None, chunk(b"two"), b"0\r\n\r\n")
    found = run(person, buffered=False)
    pieces = iter(found.response)
    assert next(pieces) == b"one" and person.grant().leases
    more.set()
    assert b"".join(pieces) == b"two"
    found.close()
    assert settled(person)["status"] == 200 and "x-sluice-price-usd" not in found.headers


def test_a_megabyte_is_not_held_and_settled_before_its_last_byte(person: Person, server: ScriptedServer) -> None:
    body = b"x" * 2**20
    server.script(answer(body))
    found = run(person, buffered=False)
    assert found.headers["content-length"] == str(len(body))
    got = 0
    for piece in found.response:
        got += len(piece)
        assert len(piece) <= 2**17
        if got == len(body):
            assert settled(person)["status"] == 200
    assert got == len(body)
    found.close()


# --- ways to fail


def test_no_bytes_no_model_and_no_right_are_refused_before_the_server_is_asked(
    person: Person, server: ScriptedServer
) -> None:
    assert person.client.post("/v1/run/ocr", data=b"x").status_code == 401
    made: Any = person.call("POST", "/tokens", json={"name": "n", "scopes": ["embeddings"]}).json
    assert run(person, headers={"Authorization": f"Bearer {made['token']}"}).status_code == 403
    made = person.call("POST", "/tokens", json={"name": "n", "models": ["demo"]}).json
    assert run(person, headers={"Authorization": f"Bearer {made['token']}"}).status_code == 404
    assert run(person, model="gpt").status_code == 404
    assert server.asked == [] and person.log() == []


def test_a_language_model_does_not_run_and_this_one_does_not_chat(person: Person, server: ScriptedServer) -> None:
    refused = run(person, model="demo")
    assert refused.status_code == 400 and refused.json["error"]["message"] == "The model 'demo' does not do run."
    for path, body in {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
        "/v1/embeddings": {"input": "x"},
    }.items():
        refused = person.client.post(path, json={"model": "ocr", **body}, headers=person.api_token)
        assert refused.status_code == 400 and "POST /v1/run/ocr" in refused.json["error"]["message"]
    models = person.client.get("/v1/models", headers=person.api_token).json
    assert models is not None
    assert [one["capabilities"] for one in models["data"] if one["id"] == "ocr"] == [["run"]]
    assert server.asked == [] and person.log() == []


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"error": "image: expected a PNG"}', "image: expected a PNG"),
        (b'{"error": {"message": "no text"}}', "no text"),
        (b'{"detail": [{"loc": ["body", "image"], "msg": "field required"}]}', "body.image: field required"),
        (b'{"detail": "' + b"x" * 2000 + b'"}', "x" * 499 + "…"),
        (b'{"error": "see http://10.0.0.5/admin"}', None),
        (b'{"error": "key sk-of-the-owner-1234 has no right"}', None),
        (b'{"error": "127.0.0.1 says no"}', None),
        (b'{"error": "File /srv/app/model.py, line 3"}', None),
        (b"<h1>Traceback (most recent call last)</h1>", None),
        (b"[[[[", None),
        (b"[" * 60_000, None),
        (b"", None),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_the_models_refusal_of_an_input_is_a_400_that_tells_nothing_of_the_owners(
    person: Person, server: ScriptedServer, body: bytes, shown: str | None, status: int
) -> None:
    server.script(answer(body, status))
    found = run(person)
    assert found.status_code == 400
    assert found.json["error"]["message"] == (shown or f"The model refuses this input ({status}).")
    assert settled(person)["status"] == 400


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 405, 500])
def test_what_is_the_owners_to_mend_is_a_503_that_tells_nothing(
    person: Person, servers: list[ScriptedServer], caplog: pytest.LogCaptureFixture, status: int
) -> None:
    settle_on(servers[:1])
    servers[0].script(answer(f'{{"error": "{SECRET}"}}'.encode(), status, location=servers[1].url))
    found = run(person)
    assert (found.status_code, found.json["error"]["code"]) == (503, "model_unavailable")
    assert servers[1].asked == [], "a redirect was followed"
    assert str(status) in caplog.text and SECRET not in caplog.text + found.text
    assert servers[0].url not in found.text
    record = settled(person)
    assert record["status"] == 503 and record["estimated_cost_usd"] == 0


BROKEN: dict[str, tuple[Step, ...]] = {
    "garbage": (b"\x00\xff" * 5000,),
    "nothing": (),
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-",),
    "10 MB of headers": (b"HTTP/1.1 200 OK\r\n", b"x-a: " + b"y" * 10 * 2**20),
    "half an answer": (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", b"x" * 50),
    "half a chunk": (CHUNKED, b"5\r\n"),
    "no chunk": (CHUNKED, b"\xff\xff\r\n"),
    "a wrong length": (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", b"x"),
    "too large": (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", b"x"),
    "compressed": (answer(gzip.compress(b"x"), content_encoding="gzip"),),
}


@pytest.mark.parametrize("steps", BROKEN.values(), ids=BROKEN)
def test_what_is_no_answer_is_a_503(person: Person, server: ScriptedServer, steps: tuple[Step, ...]) -> None:
    server.script(*steps)
    assert run(person).status_code == 503
    record = settled(person)
    assert record["status"] == 503 and record["estimated_cost_usd"] == 0


@pytest.mark.parametrize("length", ["2", "999", "many"])
def test_a_length_beside_chunks_means_nothing(person: Person, server: ScriptedServer, length: str) -> None:
    server.script(CHUNKED[:-2] + f"content-length: {length}\r\n\r\n".encode() + b"4\r\nabcd\r\n0\r\n\r\n")
    found = run(person)
    assert (found.status_code, found.data) == (200, b"abcd") and found.headers.get("content-length") in (None, "4")


@pytest.mark.parametrize("steps", [*BROKEN.values(), (answer(b"", 429),), (answer(b"", 503),), (answer(b"", 404),)])
def test_the_next_server_is_asked_while_no_byte_has_gone_to_the_caller(
    person: Person, servers: list[ScriptedServer], steps: tuple[Step, ...]
) -> None:
    settle_on(servers)
    servers[0].script(*steps)
    servers[1].script(answer(b"ok"))
    found = run(person)
    assert (found.status_code, found.data, found.headers["x-sluice-upstream"]) == (200, b"ok", "box1")
    assert servers[1].asked[0].body == PNG
    assert settled(person)["status"] == 200


def test_a_refusal_of_the_input_asks_no_other(person: Person, servers: list[ScriptedServer]) -> None:
    settle_on(servers)
    servers[0].script(answer(b"", 400))
    assert run(person).status_code == 400 and servers[1].asked == []


def test_all_busy_is_a_503_with_the_servers_wait(person: Person, servers: list[ScriptedServer]) -> None:
    settle_on(servers)
    servers[0].script(answer(b"", 429, retry_after="7"))
    servers[1].script(answer(b"", 503, retry_after="9"))
    found = run(person)
    assert (found.status_code, found.json["error"]["code"], found.headers["retry-after"]) == (503, "overloaded", "9")


@pytest.mark.parametrize(
    "steps", [(SILENCE,), (b"HTTP/1.1 200 OK\r\n", SILENCE), (CHUNKED, SILENCE), (answer(b"x", 400)[:-1], SILENCE)]
)
def test_silence_ends_at_the_deadline(
    person: Person, servers: list[ScriptedServer], steps: tuple[Step, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_model, "HEAD_SECONDS", 0.5)
    refuses = steps[0] == answer(b"x", 400)[:-1]
    settle_on(servers[:1], max_seconds=5 if refuses else 1)  # its head has to come before, on a slow machine, too
    servers[0].script(*steps)
    found = run(person)
    assert found.status_code == (400 if refuses else 504)
    assert settled(person)["status"] == found.status_code


def test_what_breaks_after_the_first_byte_breaks_the_connection(person: Person, servers: list[ScriptedServer]) -> None:
    settle_on(servers)
    servers[0].script(CHUNKED, chunk(b"half"))
    found = run(person, buffered=False)
    pieces = iter(found.response)
    assert (found.status_code, next(pieces)) == (200, b"half")
    with pytest.raises(Exception, match="broke off"):
        next(pieces)
    found.close()
    assert servers[1].asked == [] and settled(person)["status"] == 503


def test_an_endless_answer_is_cut(person: Person, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_model, "MAX_ANSWER_BYTES", 100_000)
    server.script(CHUNKED, *[chunk(b"x" * 30_000)] * 10)
    found = run(person, buffered=False)
    with pytest.raises(Exception, match="no answer"):
        list(found.response)
    found.close()
    assert settled(person)["status"] == 503


def test_a_caller_who_leaves_ends_the_call(person: Person, server: ScriptedServer) -> None:
    server.script(CHUNKED, chunk(b"one"), SILENCE)
    found = run(person, buffered=False)
    assert next(iter(found.response)) == b"one"
    found.close()
    record = settled(person)
    assert record["status"] == 499 and record["estimated_cost_usd"] >= 0.001


@pytest.mark.parametrize(("why", "status"), [(None, 401), (errors.Overloaded(), 503)])
def test_a_caller_who_may_go_on_no_longer_ends_a_call_that_waits(
    person: Person,
    servers: list[ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
    why: errors.SluiceError | None,
    status: int,
) -> None:
    """Each silence renews the lease. Where that is refused, the call ends, and the next server is not asked. `why`: the
    token is revoked, or the lease was settled by another."""
    monkeypatch.setattr(http_model, "PING_SECONDS", 0.1)
    monkeypatch.setattr(exchange, "RENEW_EVERY_MS", 0)
    if why is not None:
        monkeypatch.setattr(exchange.Exchange, "_why_not", lambda *_: why)
    settle_on(servers)
    revoke = f"/tokens/{person.token_id}/revoke"
    servers[0].script(lambda: person.call("POST", revoke) and None, SILENCE)
    assert run(person).status_code == status
    assert servers[1].asked == [] and settled(person)["status"] == status


# --- money


def test_used_up_dollars_are_a_402(person: Person, server: ScriptedServer) -> None:
    made: Any = person.call("POST", "/tokens", json={"name": "x", "limits": {"monthly_usd": "0.01599"}}).json
    headers = {"Authorization": f"Bearer {made['token']}"}
    server.script(answer(b"ok"))
    assert run(person, headers=headers).status_code == 402, "0.001 + 30 s of 0.0005 are reserved"
    assert server.asked == [] and person.log() == []
    made = person.call("POST", "/tokens", json={"name": "x", "limits": {"monthly_usd": "0.016"}}).json
    assert run(person, headers={"Authorization": f"Bearer {made['token']}"}).status_code == 200


def test_seconds_are_charged_up_to_max_seconds(person: Person, servers: list[ScriptedServer]) -> None:
    settle_on(servers[:1], max_seconds=1, request_usd="0", second_usd="1000")
    servers[0].script(SILENCE)
    assert run(person).status_code == 504
    assert settled(person)["estimated_cost_usd"] == 0
    settle_on(servers[:1], max_seconds=5, request_usd="0", second_usd="1000")  # the answer has to begin before
    servers[0].script(CHUNKED, chunk(b"one"), SILENCE)
    found = run(person, buffered=False)
    with pytest.raises(Exception, match="longer"):
        list(found.response)
    found.close()
    assert person.grant().period_micro_usd <= 5_000_000_000
