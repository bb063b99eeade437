"""`/v2/models/…`: the Open Inference Protocol, passed to a server that speaks it."""

import json
from typing import Any

import pytest

from tests.fakes.http_server import CHUNKED, ScriptedServer, answer, chunk
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_owners_terms import apply
from tests.integration.gateway.test_run import PRICED, run, servers, settled

__all__ = ["servers"]
INPUT = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}
OUTPUT = {
    "model_name": "theirs",
    "id": "7",
    "outputs": [{"name": "y", "shape": [1], "datatype": "FP32", "data": [0.1]}],
}
METADATA = {"name": "theirs", "versions": ["1"], "platform": "p", "inputs": [], "outputs": []}


@pytest.fixture
def server(servers: list[ScriptedServer]) -> ScriptedServer:
    """The only upstream of the model `iris`."""
    settle_on(servers[:1])
    return servers[0]


def settle_on(servers: list[ScriptedServer], suffix: str = "") -> None:
    named = [
        {"name": f"box{n}", "kind": "http", "protocol": "v2", "url": one.url + suffix} for n, one in enumerate(servers)
    ]
    model = {"id": "iris", "upstreams": [f"{one['name']}:theirs/v 1".replace(" ", "") for one in named], **PRICED}
    apply(upstreams=[{"name": "local", "kind": "engine"}, *named], models=[model])


def infer(person: Person, body: Any = INPUT, model: str = "iris", **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body)
    told = {"Content-Type": "application/json", **person.api_token, **headers}
    return person.client.post(f"/v2/models/{model}/infer", data=data, headers=told)


def get(person: Person, path: str) -> Any:
    return person.client.get(f"/v2/models/{path}", headers=person.api_token)


def reply(value: Any, status: int = 200, **headers: str) -> bytes:
    return answer(json.dumps(value).encode(), status, "application/json", **headers)


@pytest.mark.parametrize("suffix", ["", "/", "/v2", "/v2/"])
def test_an_inference_is_passed_and_bears_our_name(person: Person, servers: list[ScriptedServer], suffix: str) -> None:
    settle_on(servers[:1], suffix)
    servers[0].script(reply(OUTPUT))
    found = infer(person)
    assert found.status_code == 200 and found.json == {**OUTPUT, "model_name": "iris"}
    (asked,) = servers[0].asked
    assert asked.line == "POST /v2/models/theirs%2Fv1/infer HTTP/1.1" and json.loads(asked.body) == INPUT
    assert found.headers["x-sluice-upstream"] == "box0"
    record = settled(person)
    assert (record["endpoint"], record["model"], record["status"]) == ("run", "iris", 200)
    assert record["estimated_cost_usd"] >= 0.001


def test_the_same_model_runs_too(person: Person, server: ScriptedServer) -> None:
    server.script(reply(OUTPUT))
    assert run(person, json.dumps(INPUT).encode(), "iris").json["model_name"] == "iris"
    assert server.asked[0].line == "POST /v2/models/theirs%2Fv1/infer HTTP/1.1"
    models: Any = person.client.get("/v1/models/iris", headers=person.api_token).json
    assert models["capabilities"] == ["run", "infer"]


def test_binary_tensors_are_passed_with_their_header(person: Person, server: ScriptedServer) -> None:
    head = json.dumps({**OUTPUT, "outputs": [{"name": "y", "parameters": {"binary_data_size": 70_000}}]}).encode()
    tensor = bytes(range(250)) * 280
    told = f"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\nInference-Header-Content-Length: {len(head)}"
    length = f"\r\ncontent-length: {len(head) + len(tensor)}\r\n\r\n"
    server.script((told + length).encode(), head[:10], head[10:] + tensor)
    body = b'{"inputs": []}' + b"\x00" * 8
    found = infer(person, body, **{"Inference-Header-Content-Length": "14", "Content-Type": "application/octet-stream"})
    assert found.status_code == 200, found.data
    assert server.asked[0].body == body and server.asked[0].headers["inference-header-content-length"] == "14"
    size = int(found.headers["inference-header-content-length"])
    assert json.loads(found.data[:size])["model_name"] == "iris" and found.data[size:] == tensor
    assert settled(person)["status"] == 200


def test_metadata_and_readiness_are_requests_of_no_tokens_and_cost_nothing(
    person: Person, server: ScriptedServer
) -> None:
    server.script(reply(METADATA))
    assert get(person, "iris").json == {**METADATA, "name": "iris"}
    server.script(reply({"name": "theirs", "ready": True}))
    assert get(person, "iris/ready").json == {"name": "iris", "ready": True}
    server.script(answer(b""))
    assert get(person, "iris/ready").json == {"name": "iris"}
    assert [asked.line for asked in server.asked] == [
        "GET /v2/models/theirs%2Fv1 HTTP/1.1",
        *["GET /v2/models/theirs%2Fv1/ready HTTP/1.1"] * 2,
    ]
    assert {(record["endpoint"], record["estimated_cost_usd"]) for record in person.log()} == {("run", 0)}
    assert person.grant().leases == {} and len(person.log()) == 3


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_what_is_not_ready_is_a_503(person: Person, server: ScriptedServer, status: int) -> None:
    server.script(reply({"error": "not ready"}, status))
    assert get(person, "iris/ready").status_code == 503
    assert settled(person)["status"] == 503


def test_an_inference_with_a_key_is_made_once(person: Person, servers: list[ScriptedServer]) -> None:
    settle_on(servers[:1])
    servers[0].script(reply(OUTPUT))
    key, binary = {"Idempotency-Key": "k"}, {"Content-Type": "application/octet-stream"}
    first, again = (infer(person, b"{}\x00\x00", **key, **binary) for _ in range(2))
    assert (first.status_code, first.data) == (again.status_code, again.data) and len(servers[0].asked) == 1
    assert again.headers["x-sluice-idempotent-replay"] == "true" and len(person.log()) == 1
    other = infer(person, b"{}\x00\x00", **key, **binary, **{"Inference-Header-Content-Length": "2"})
    assert other.status_code == 422  # the same bytes, read otherwise


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"<html>", content_type="text/html"),
        answer(b"[]"),
        answer(b'"x"'),
        answer(b"{" * 60_000),
        answer(b""),
        answer(b"{}", Inference_Header_Content_Length="3"),
        answer(b"{}", Inference_Header_Content_Length="-1"),
        answer(b"{}", Inference_Header_Content_Length="99999999999"),
        answer(b"{}{}", Inference_Header_Content_Length="4"),
    ],
)
def test_what_is_no_inference_is_a_503_and_the_next_server_is_asked(
    person: Person, servers: list[ScriptedServer], raw: bytes
) -> None:
    settle_on(servers[:1])
    servers[0].script(raw)
    assert infer(person).status_code == 503
    settle_on(servers)
    servers[1].script(reply(OUTPUT))
    assert infer(person).headers["x-sluice-upstream"] == "box1"


def test_an_answer_that_is_parsed_is_bounded(
    person: Person, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.adapters.gateway import http_model

    monkeypatch.setattr(http_model, "MAX_JSON_BYTES", 100_000)
    server.script(CHUNKED, *[chunk(b" " * 30_000)] * 10, b"0\r\n\r\n")
    assert infer(person).status_code == 503


def test_errors_have_the_member_that_clients_of_the_protocol_read(person: Person, server: ScriptedServer) -> None:
    server.script(reply({"error": "expected 2 inputs"}, 400))
    found = infer(person)
    assert (found.status_code, found.mimetype) == (400, "application/problem+json")
    assert found.json["error"] == found.json["detail"] == "expected 2 inputs"
    stranger = person.client.post("/v2/models/iris/infer", json=INPUT)
    assert stranger.status_code == 401 and stranger.json is not None and isinstance(stranger.json["error"], str)
    assert stranger.headers["x-sluice-request-id"] and stranger.headers["vary"] == "Authorization"
    for path in ("gpt", "gpt/ready"):
        assert get(person, path).status_code == 404
    assert infer(person, model="gpt").status_code == 404
    for path in ("demo", "demo/ready"):
        assert get(person, path).status_code == 400
    assert infer(person, model="demo").status_code == 400


def test_a_plain_model_does_not_infer(person: Person, servers: list[ScriptedServer]) -> None:
    from tests.integration.gateway import test_run

    test_run.settle_on(servers[:1])
    refused = infer(person, model="ocr")
    assert refused.status_code == 400 and "POST /v1/run/ocr" in refused.json["detail"]
    assert servers[0].asked == []
