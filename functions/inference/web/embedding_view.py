"""POST /v1/embeddings."""

import base64
import time
from typing import Any

from flask import Response, jsonify, request

from functions.inference.errors import InvalidRequest
from functions.inference.llama.embedder import Vector, normalised
from functions.inference.models.loading import EmbeddingModel
from functions.inference.models.prompt_tokenizer import plain_tokens
from functions.inference.openai.requests import EmbeddingRequest, parse
from functions.inference.web import job_builder
from functions.inference.web.claim import model_in_silence
from functions.inference.web.service import InferenceService

MOST_INPUTS = 2048


def embeddings(service: InferenceService) -> Response:
    """Vectors of length 1, in the order of the inputs. `dimensions` cuts and normalises them."""
    body = parse(EmbeddingRequest, request.get_data())
    deadline_s = job_builder.deadline_of(request.headers, service.settings)
    account = request.headers.get("x-sluice-account", "")[:128]
    with model_in_silence(service.embeddings(body.model, account), deadline_s) as model:
        assert isinstance(model, EmbeddingModel)
        if body.dimensions is not None and body.dimensions > model.embedder.dimensions:
            raise InvalidRequest(f"This model's vectors have {model.embedder.dimensions} dimensions.", "dimensions")
        inputs = token_lists(body.input, model, model.prefixes.get(body.input_type or "", ""))
        vectors = model.embedder.embed(inputs, max(0.0, deadline_s - time.monotonic()), account)
    data = [
        {"object": "embedding", "index": index, "embedding": written(vector, body)}
        for index, vector in enumerate(vectors)
    ]
    count = sum(map(len, inputs))
    usage = {"prompt_tokens": count, "total_tokens": count}
    return jsonify({"object": "list", "data": data, "model": model.entry.name, "usage": usage})


def token_lists(given: Any, model: EmbeddingModel, prefix: str = "") -> list[list[int]]:
    """Each input as tokens, `prefix` before each text. Raises ContextTooLong, and InvalidRequest for no or too many
    inputs, an empty one or unknown tokens."""
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        given = [given]
    if not 0 < len(given) <= MOST_INPUTS:
        raise InvalidRequest(f"Give 1 to {MOST_INPUTS} inputs.", "input")
    vocab = model.embedder
    lists = [
        plain_tokens(one and prefix + one, vocab, "input", frame=True) if isinstance(one, str) else list(one)
        for one in given
    ]
    if any(not tokens for tokens in lists):
        raise InvalidRequest("An input is empty.", "input")
    if any(not 0 <= token < vocab.vocab_tokens for tokens in lists for token in tokens):
        raise InvalidRequest(f"Tokens must lie between 0 and {vocab.vocab_tokens - 1}.", "input")
    return lists


def written(vector: Vector, body: EmbeddingRequest) -> list[float] | str:
    """A list of numbers, or base64 of little-endian 32-bit floats."""
    cut = normalised(vector[: body.dimensions]) if body.dimensions else vector
    if body.encoding_format == "base64":
        return base64.b64encode(cut.astype("<f4").tobytes()).decode()
    return [float(value) for value in cut]
