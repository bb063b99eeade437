"""Every JSON body is refused within 50 ms of CPU and 20 MiB, whatever it holds."""

import json
import time
import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from statistics import median
from typing import Any

import pydantic
import pytest
from flask import Blueprint
from flask.testing import FlaskClient
from gunicorn.http.errors import InvalidChunkSize

from sluice.http import json_bounds, lazy_model
from sluice.http.app import MAX_BODY_BYTES, create_app
from sluice.http.gateway.requests import ChatBody, CompletionBody, EmbeddingBody
from sluice.http.gateway.responses_requests import ResponseBody
from sluice.http.operation import MAX_FAULTS, parse_body
from sluice.http.tokens import IssueTokenBody
from tests.slowness import within

MOST_CPU_S = 0.050
MOST_MEMORY = 20 * 2**20
MANY = "{}," * 330_000 + "{}"
ONES = "1," * 490_000 + "1"
CALLS = '{"role":"assistant","tool_calls":[' + ",".join(["{}"] * 120) + "]}"
MODELS: dict[str, type[pydantic.BaseModel]] = {
    "/v1/chat": ChatBody,
    "/v1/completions": CompletionBody,
    "/v1/embeddings": EmbeddingBody,
    "/v1/responses": ResponseBody,
    "/tokens": IssueTokenBody,
}


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    views = Blueprint("bodies", __name__)

    def add(path: str, model: type[pydantic.BaseModel]) -> None:
        views.add_url_rule(path, path[1:].replace("/", "_"), lambda: parse_body(model).model_dump(), methods=["POST"])

    for path, model in MODELS.items():
        add(path, model)
    lazy_model.prepare_all()
    yield create_app([views]).test_client()


def chat(messages: str) -> str:
    return f'{{"model":"demo","messages":[{messages}]}}'


HOSTILE = [
    pytest.param("/v1/chat", chat(f'{{"role":"user","content":[{MANY}]}}'), id="content of 330,000 objects"),
    pytest.param("/v1/chat", chat(",".join([CALLS] * 2000)), id="2,000 messages of 120 empty calls"),
    pytest.param("/v1/chat", chat('{"role":"user","content":[' + "{}," * 9000 + "{}]}"), id="9,000 wrong parts"),
    pytest.param("/v1/chat", chat('{"role":"user","content":[{}]},' * 2000 + "{}"), id="2,000 wrong messages"),
    pytest.param("/v1/chat", chat('{"tool_calls":[{},{},{}]},' * 1600 + "{}"), id="1,600 wrong histories"),
    pytest.param(
        "/v1/chat", '{"logit_bias":{' + ",".join(f'"{i}":"a"' for i in range(9000)) + "}}", id="9,000 wrong biases"
    ),
    pytest.param("/v1/chat", f'{{"x":[{ONES}]}}', id="numbers"),
    pytest.param("/v1/chat", '{"x":[' + "[1]," * 240_000 + "1]}", id="arrays of one number"),
    pytest.param("/v1/chat", '{"x":[' + '"",' * 340_000 + "1]}", id="empty strings"),
    pytest.param("/v1/chat", '{"x":[' + '"\\",{}",' * 110_000 + "1]}", id="escaped quotes"),
    pytest.param("/v1/chat", "[" * 1_000_000, id="a million deep"),
    pytest.param("/v1/chat", '{"a":' * 200_000, id="200,000 objects deep"),
    pytest.param("/v1/chat", '{"x":' + "[" * 100 + "]" * 100 + "}", id="101 deep"),
    pytest.param("/v1/chat", '{"x":' + "9" * 1_000_000 + "}", id="a number of a million digits"),
    pytest.param("/v1/embeddings", f'{{"model":"m","input":[{MANY}]}}', id="input of 330,000 objects"),
    pytest.param("/v1/embeddings", f'{{"model":"m","input":[{ONES}]}}', id="input of numbers"),
    pytest.param("/v1/embeddings", f'{{"model":"m","input":["a",[{ONES}]]}}', id="input of text and numbers"),
    pytest.param("/v1/completions", f'{{"model":"m","prompt":[{MANY}]}}', id="prompt of 330,000 objects"),
    pytest.param("/v1/completions", f'{{"model":"m","prompt":[{ONES}]}}', id="prompt of numbers"),
    pytest.param("/v1/completions", f'{{"model":"m","stop":[{ONES}],"prompt":"a"}}', id="stops of numbers"),
    pytest.param("/v1/responses", f'{{"model":"m","input":[{MANY}]}}', id="items"),
    pytest.param("/tokens", f'{{"name":"x","scopes":[{ONES}]}}', id="490,000 scopes"),
    pytest.param("/tokens", '{"name":"x","models":[' + '"",' * 9000 + '""]}', id="9,000 models"),
]


@pytest.mark.parametrize("path, text", HOSTILE)
def test_a_hostile_body_is_refused_cheaply(client: FlaskClient, path: str, text: str) -> None:
    body = text.encode()
    assert len(body) <= 2**20
    spent = []
    for _ in range(3):
        begun = time.process_time()
        answer = client.post(path, data=body, content_type="application/json")
        spent.append(time.process_time() - begun)
    assert answer.status_code in ((400, 422) if path == "/tokens" else (400,))
    assert len(answer.data) < 10_000 and len((answer.json or {}).get("errors", [])) <= MAX_FAULTS
    assert within(median(spent), MOST_CPU_S)
    tracemalloc.start()
    try:
        client.post(path, data=body, content_type="application/json")
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def test_at_most_20_faults_are_listed(client: FlaskClient) -> None:
    body = {"model": "m", "messages": [], "logit_bias": {str(token): "a" for token in range(1000)}}
    views = Blueprint("bias", __name__)
    views.add_url_rule("/bias", "bias", lambda: parse_body(ChatBody).model_dump(), methods=["POST"])
    answer = create_app([views]).test_client().post("/bias", json=body)
    assert answer.status_code == 422 and len((answer.json or {})["errors"]) == MAX_FAULTS == 20


def test_an_ordinary_body_passes(client: FlaskClient) -> None:
    prose = 'He said, "yes, {no}, [maybe]\\", and so on. ' * 15_000  # more commas and brackets than members allowed
    answer = client.post("/v1/chat", json={"model": "demo", "messages": [{"role": "user", "content": prose}]})
    assert answer.status_code == 200 and (answer.json or {})["messages"][0]["content"] == prose
    many = {"model": "demo", "messages": [{"role": "user", "content": "a"}] * 2048}
    assert client.post("/v1/chat", json=many).status_code == 200


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth > 1 else []


@pytest.mark.parametrize(
    "value, passes",
    [
        (nested(100), True),
        (nested(101), False),
        ([True] * 10_000, True),
        ([True] * 10_001, False),
        ({str(key): [] for key in range(10_000)}, True),
        ({str(key): [] for key in range(10_001)}, False),
        ([[True]] * 5_000, True),
        ([[True]] * 5_001, False),
        ([1.5e3, -2] * 100_000, True),
        ([1] * 262_145, True),
        ([1] * 272_146, False),
        ({"a": [[0.5] * 1000] * 100, "b": [""] * 9_898}, True),
        ({"a": [[0.5] * 1000] * 100, "b": [""] * 9_899}, False),
        ("[,{" * 100_000 + '"\\', True),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_members_and_depth_are_counted_exactly(value: Any, passes: bool, indent: int | None) -> None:
    assert (json_bounds.excess(json.dumps(value, indent=indent).encode()) is None) is passes


class MalformedChunks(BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise InvalidChunkSize(b"0x2")

    def readinto(self, buffer: object) -> int:
        raise InvalidChunkSize(b"0x2")


@pytest.mark.parametrize("path", ["/v1/chat", "/tokens"])
def test_malformed_chunks_are_400(client: FlaskClient, path: str, caplog: pytest.LogCaptureFixture) -> None:
    environ = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = client.post(
        path, input_stream=MalformedChunks(b"0x2"), content_type="application/json", environ_overrides=environ
    )
    assert answer.status_code == 400 and b"chunks are malformed" in answer.data
    assert not caplog.records


@pytest.mark.parametrize("path", ["/v1/chat", "/tokens"])
def test_chunks_over_the_limit_are_413(client: FlaskClient, path: str) -> None:
    environ = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    body = BytesIO(b"{}" + b" " * MAX_BODY_BYTES)
    answer = client.post(path, input_stream=body, content_type="application/json", environ_overrides=environ)
    assert answer.status_code == 413
