"""The engine's own port refuses every JSON body within 50 ms of CPU and 20 MiB for each MiB of it."""

import ast
import re
import time
import tracemalloc
from io import BytesIO
from pathlib import Path
from statistics import median

import pytest
from gunicorn.http.errors import InvalidChunkSize

from functions.inference.app import create_app
from functions.inference.errors import InvalidRequest
from functions.inference.openai import json_bounds as engines
from functions.inference.openai.requests import ChatRequest, CompletionRequest, EmbeddingRequest, Wire, parse
from sluice.http import json_bounds as gateways
from tests.slowness import within

ROOT = Path(__file__).parents[3]
MOST_CPU_S = 0.050
MOST_MEMORY = 20 * 2**20
MANY = "{}," * 330_000 + "{}"
CALLS = '{"role":"assistant","tool_calls":[' + ",".join(["{}"] * 120) + "]}"


def chat(messages: str) -> str:
    return f'{{"model":"demo","messages":[{messages}]}}'


@pytest.mark.parametrize(
    "model, text",
    [
        (ChatRequest, chat(f'{{"role":"user","content":[{MANY}]}}')),
        (ChatRequest, chat(",".join([CALLS] * 2000))),
        (ChatRequest, chat('{"role":"user","content":[' + "{}," * 15_000 + "{}]}")),
        (ChatRequest, chat('{"role":"user","content":[{}]},' * 4000 + "{}")),
        (ChatRequest, "[" * 1_000_000),
        (ChatRequest, '{"x":' + "[" * 110 + "]" * 110 + "}"),
        (ChatRequest, '{"x":[' + "[1]," * 240_000 + "1]}"),
        (EmbeddingRequest, f'{{"model":"m","input":[{MANY}]}}'),
        (EmbeddingRequest, '{"model":"m","input":[' + "1," * 400_000 + '""]}'),
        (CompletionRequest, f'{{"model":"m","prompt":[{MANY}]}}'),
        (CompletionRequest, '{"model":"m","prompt":[' + '"",' * 15_000 + "1]}"),
    ],
    ids=range(11),
)
def test_a_hostile_body_is_refused_cheaply(model: type[Wire], text: str) -> None:
    body = text.encode()
    spent = []
    for _ in range(3):
        begun = time.process_time()
        with pytest.raises(InvalidRequest) as refused:
            parse(model, body)
        spent.append(time.process_time() - begun)
    assert within(median(spent), MOST_CPU_S) and len(str(refused.value)) < 500
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest):
            parse(model, body)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def test_an_ordinary_body_passes() -> None:
    assert (
        len(parse(ChatRequest, chat(",".join(['{"role":"user","content":"a, b"}'] * 3000)).encode()).messages) == 3000
    )
    ids = parse(CompletionRequest, ('{"model":"m","prompt":[' + "7," * 30_000 + "7]}").encode()).prompt
    assert ids == [7] * 30_001


class MalformedChunks(BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise InvalidChunkSize(b"0x2")

    def readinto(self, buffer: object) -> int:
        raise InvalidChunkSize(b"0x2")


def test_malformed_chunks_are_400() -> None:
    answer = (
        create_app()
        .test_client()
        .post(
            "/v1/chat/completions",
            input_stream=MalformedChunks(b"0x2"),
            content_type="application/json",
            environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
        )
    )
    assert answer.status_code == 400 and b"chunks are malformed" in answer.data


def test_the_gateways_copy_of_the_scan_differs_in_its_bounds_only() -> None:
    """The engine's image holds nothing of `sluice`, so the scan stands twice. Only one has translated words."""

    def scan(path: str) -> str:
        code = ast.parse((ROOT / path).read_text())
        code.body = [part for part in code.body[1:] if not is_wording(part)]  # without the docstring
        return re.sub(
            r"(id='MAX_(?:DEPTH|MEMBERS)', ctx=Store\(\)\)\], value=Constant\(value=)\d+", r"\1N", ast.dump(code)
        )

    def is_wording(part: ast.stmt) -> bool:
        if isinstance(part, ast.ImportFrom):
            return part.module == "sluice.domain.phrases"
        return "PLAIN" in ast.dump(part) or getattr(part, "name", "") == "_message"

    assert scan("functions/inference/openai/json_bounds.py") == scan("layers/core/sluice/http/json_bounds.py")
    assert {kind: re.sub(r"%\((\w+)\)s", r"{\1}", words) for kind, words in gateways.PLAIN.items()} == engines.PLAIN
