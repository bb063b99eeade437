"""A first answer of a model, in a process of its own: llama.cpp ends its process on some files.

`python -m infra.models.trial QUESTION` prints an object a line: `loaded_s`, then `text` for each piece of an answer or
`nearest` for embeddings, then `figures`; or `error`.
"""

import json
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

from flask.testing import FlaskClient

from functions.inference.app import create_app
from functions.inference.errors import ModelFileError
from functions.inference.settings import InferenceSettings
from functions.inference.web.service import InferenceService

MOST_TOKENS = 64
BAD_MODEL_EXIT_CODE = 3
SENTENCES = (
    "The invoice can be paid within thirty days.",
    "Returned goods are refunded to the card that paid for them.",
    "Our office is closed on public holidays.",
    "The cat sleeps on the warm roof.",
)
RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


class TrialError(Exception):
    """The model server's own refusal."""


def main(question: dict[str, str]) -> None:
    """`model` as SLUICE_MODEL, `use` as in GgufHeader, `prompt`."""
    embeds = question["use"] == "embeddings"
    settings = InferenceSettings(
        model="demo" if embeds else question["model"],
        embeddings_model=question["model"] if embeds else "off",
        slots=1,
        load="eager",
    )
    service = InferenceService(settings, on_bad_model=_bad_model, on_crash=_crash)
    client = create_app(service=service).test_client()
    began = time.monotonic()
    loaded = threading.Event()
    service.on_loaded = loaded.set
    service.start()
    loaded.wait()  # a failure ends the process
    _say(loaded_s=time.monotonic() - began)
    ask = _nearest if embeds else _answer
    try:
        figures = ask(client, _served_name(client, question["use"]), question)
    except TrialError as exc:
        _say(error=str(exc))
        os._exit(BAD_MODEL_EXIT_CODE)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT_BYTES
    _say(figures=figures | {"peak_memory_bytes": peak})
    os._exit(0)  # the engine's threads wait for more


def _served_name(client: FlaskClient, use: str) -> str:
    """Of the model that is tried. Beside an embeddings model the demo model is served, which makes none."""
    rows: Any = client.get("/v1/models").get_json()["data"]
    name = next((row["id"] for row in rows if use in row["capabilities"]), None)
    if name is None:
        raise TrialError(f"The server says that no model here does {use}.")
    return str(name)


def _answer(client: FlaskClient, name: str, question: dict[str, str]) -> dict[str, float]:
    """Stream an answer, and measure it."""
    prompt = question["prompt"]
    asked: dict[str, Any] = {"prompt": prompt, "temperature": 0}
    if question["use"] == "chat":
        asked = {"messages": [{"role": "user", "content": prompt}]}
    more = {"model": name, "max_tokens": MOST_TOKENS, "stream": True}
    path = "/v1/chat/completions" if question["use"] == "chat" else "/v1/completions"
    began = time.monotonic()
    first = last = None
    usage: dict[str, int] = {}
    for chunk in _chunks(client, path, asked | more | {"stream_options": {"include_usage": True}}):
        usage = chunk.get("usage") or usage
        if text := _text(chunk):
            last = time.monotonic()
            first = first or last
            _say(text=text)
    counts: dict[str, float] = {key: usage.get(key, 0) for key in ("prompt_tokens", "completion_tokens")}
    if first is None or last is None:
        return counts
    return counts | {"first_token_s": first - began, "generation_s": last - first}


def _chunks(client: FlaskClient, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    response = client.post(path, json=body, buffered=False)
    if response.status_code != 200:
        raise TrialError(response.get_json()["error"]["message"])
    rest = b""
    for piece in response.iter_encoded():
        *blocks, rest = (rest + piece).split(b"\n\n")
        for line in b"\n".join(blocks).split(b"\n"):
            if line.startswith(b"data: {"):
                chunk = json.loads(line[len(b"data: ") :])
                if "error" in chunk:
                    raise TrialError(chunk["error"]["message"])
                yield chunk


def _text(chunk: dict[str, Any]) -> str:
    choice = (chunk.get("choices") or [{}])[0]
    delta = choice.get("delta", {})
    return str(choice.get("text") or delta.get("reasoning_content") or delta.get("content") or "")


def _nearest(client: FlaskClient, name: str, question: dict[str, str]) -> dict[str, float]:
    """How near each of some sentences is to the prompt, nearest first."""
    began = time.monotonic()
    query, tokens = _vectors(client, name, [question["prompt"]], "query")
    passages, more = _vectors(client, name, SENTENCES, "passage")
    seconds = time.monotonic() - began
    cosines = [sum(a * b for a, b in zip(query[0], passage, strict=True)) for passage in passages]
    _say(nearest=sorted(zip(cosines, SENTENCES, strict=True), reverse=True))
    return {"prompt_tokens": tokens + more, "embedding_s": seconds, "dimensions": len(query[0])}


def _vectors(client: FlaskClient, name: str, texts: Any, kind: str) -> tuple[list[list[float]], int]:
    response = client.post("/v1/embeddings", json={"model": name, "input": list(texts), "input_type": kind})
    body: Any = response.get_json()
    if response.status_code != 200:
        raise TrialError(body["error"]["message"])
    return [row["embedding"] for row in body["data"]], body["usage"]["prompt_tokens"]


def _bad_model(error: ModelFileError) -> None:
    _say(error=str(error))
    os._exit(BAD_MODEL_EXIT_CODE)


def _crash(error: BaseException) -> None:
    _say(error=f"The model server failed: {error!r}")
    os._exit(BAD_MODEL_EXIT_CODE)


def _say(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # also when nobody listens any more; the engine's threads would go on
