"""POST /v1/embeddings."""

import base64
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from flask import Response, jsonify, request

from functions.inference.errors import InvalidRequest
from functions.inference.llama.embedder import Vector, normalised
from functions.inference.models.loading import EmbeddingModel
from functions.inference.models.prompt_tokenizer import plain_tokens
from functions.inference.openai.requests import EmbeddingRequest, TokenizeRequest, parse
from functions.inference.web import job_builder
from functions.inference.web.claim import model_in_silence
from functions.inference.web.service import InferenceService

MOST_INPUTS = 2048


def embeddings(service: InferenceService) -> Response:
    """Vectors of length 1, in the order of the inputs. `dimensions` cuts and normalises them."""
    body = parse(EmbeddingRequest, request.get_data())
    deadline_s = job_builder.deadline_of(request.headers, service.settings)
    account = request.headers.get("x-sluice-account", "")[:128]
    low = job_builder.is_low(request.headers)
    with model_in_silence(service.embeddings(body.model, account, low=low), deadline_s) as model:
        assert isinstance(model, EmbeddingModel)
        if body.dimensions is not None and body.dimensions > model.embedder.dimensions:
            raise InvalidRequest(f"This model's vectors have {model.embedder.dimensions} dimensions.", "dimensions")
        inputs = token_lists(body.input, model, model.prefixes.get(body.input_type or "", ""))
        vectors, cached = _vectors(model, inputs, deadline_s, account, low=low)
    data = [
        {"object": "embedding", "index": index, "embedding": written(vector, body)}
        for index, vector in enumerate(vectors)
    ]
    count = sum(map(len, inputs))
    usage = {
        "prompt_tokens": count,
        "total_tokens": count,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    return jsonify(
        {"object": "list", "data": data, "model": model.entry.name, "usage": usage, "version": model.version}
    )


def _vectors(
    model: EmbeddingModel, inputs: Sequence[Sequence[int]], deadline_s: float, account: str, *, low: bool
) -> tuple[list[Vector], int]:
    """The vectors, and how many tokens of the inputs were not computed, because their vectors were there."""
    keys = [tuple(tokens) for tokens in inputs]
    known = {key: model.cache.get(account, key) for key in dict.fromkeys(keys)}
    missing = [key for key, vector in known.items() if vector is None]
    if missing:
        left_s = max(0.0, deadline_s - time.monotonic())
        keep = partial(model.cache.put, account)
        known |= dict(zip(missing, model.embedder.embed(missing, left_s, account, keep, low=low), strict=True))
    return [known[key] for key in keys], sum(map(len, keys)) - sum(map(len, missing))


def token_counts(service: InferenceService, body: TokenizeRequest) -> Response:
    """How many tokens each of many texts has for the embedding model, without those at the beginning and end."""
    deadline_s = job_builder.deadline_of(request.headers, service.settings)
    with model_in_silence(service.embeddings(body.model), deadline_s) as model:
        assert isinstance(model, EmbeddingModel)
        counts = [len(model.embedder.tokenize(text)) for text in body.texts]
    return jsonify({"model": body.model, "counts": counts})


def token_lists(given: Any, model: EmbeddingModel, prefix: str = "") -> list[list[int]]:
    """Each input as tokens, `prefix` before each text. Raises ContextTooLong, and InvalidRequest for no or too many
    inputs, an empty one or unknown tokens."""
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        given = [given]
    if not 0 < len(given) <= MOST_INPUTS:
        raise InvalidRequest(f"Give 1 to {MOST_INPUTS} inputs.", "input")
    if not all(given):
        raise InvalidRequest("An input is empty.", "input")
    vocab = model.embedder
    lists = [
        plain_tokens(prefix + one, vocab, "input", frame=True) if isinstance(one, str) else list(one) for one in given
    ]
    if not all(lists):
        raise InvalidRequest("An input is empty.", "input")
    if any(not 0 <= token < vocab.vocab_tokens for tokens in lists for token in tokens):
        raise InvalidRequest(f"Tokens must lie between 0 and {vocab.vocab_tokens - 1}.", "input")
    return lists


def written(vector: Vector, body: EmbeddingRequest) -> list[float] | str:
    """A list of numbers, or base64 of little-endian 32-bit floats."""
    cut = normalised(vector[: body.dimensions]) if body.dimensions else vector
    if body.encoding_format == "base64":
        return base64.b64encode(cut.astype("<f4").tobytes()).decode()
    return [float(f"{value:.9g}") for value in cut]  # exact for 32 bits, in half of the digits that 64 would take
