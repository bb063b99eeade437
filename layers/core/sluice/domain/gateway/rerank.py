"""Scores of texts by how well they answer a question, in the form that Cohere, Jina and vLLM share. Pure functions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.domain.errors import ModelUnavailable


def ranked(answer: Mapping[str, Any], texts: Sequence[str], most: int | None, *, with_texts: bool) -> dict[str, Any]:
    """The best first, `most` at most. Errors: ModelUnavailable (the model server's answer cannot be read)."""
    try:
        scores = [(int(one["index"]), float(one["relevance_score"])) for one in answer["results"]]
    except (KeyError, OverflowError, TypeError, ValueError) as exc:
        raise ModelUnavailable("The model server's answer cannot be read.") from exc
    if not all(math.isfinite(score) for _, score in scores):
        raise ModelUnavailable("The model server's answer has a score that is no number.")
    if not all(0 <= index < len(texts) for index, _ in scores):
        raise ModelUnavailable("The model server's answer names a document that was not sent.")
    best = sorted(scores, key=lambda one: -one[1])[:most]
    results = [
        {"index": index, "relevance_score": score, **({"document": {"text": texts[index]}} if with_texts else {})}
        for index, score in best
    ]
    read = tokens_read(answer)
    usage = None if read is None else {"prompt_tokens": read, "total_tokens": read}
    return {"object": "list", "model": answer.get("model"), "results": results, "usage": usage}


def tokens_read(answer: Mapping[str, Any]) -> int | None:
    """What the server counted. All that it reads is prompt. None: it sends no count."""
    usage = answer.get("usage")
    counts = [usage.get(name) for name in ("prompt_tokens", "total_tokens")] if isinstance(usage, Mapping) else []
    return next((count for count in counts if isinstance(count, int) and count > 0), None)


def tokens_cached(answer: Mapping[str, Any]) -> int:
    """How many of them the server did not compute, because their vectors were known."""
    usage = answer.get("usage")
    details = usage.get("prompt_tokens_details") if isinstance(usage, Mapping) else None
    count = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return count if isinstance(count, int) and count > 0 else 0
