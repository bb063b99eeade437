"""The model server's embedding model: which it is, its vectors, and its count of tokens."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sluice.domain.documents.nearness import EmbeddingModel
from sluice.domain.documents.passages import most_tokens, tokens
from sluice.domain.documents.vectors import packed
from sluice.domain.errors import ModelUnavailable
from sluice.domain.ids import request_id
from sluice.ports.gateway import Upstream, UpstreamCall

AUTO = "auto"
DEADLINE_SECONDS = 30.0
COUNTED_TEXTS = 2_048
COUNTED_CHARACTERS = 500_000
"""The most of one call that counts tokens."""
SHORT_CONTEXT = 1_024


@dataclass(frozen=True)
class Made:
    """`used`: prompt tokens, of which `cached` were not computed, because their vectors were known."""

    vectors: list[bytes]
    used: int
    cached: int


@dataclass(frozen=True)
class EmbeddingServer:
    """`models`: the rows of what is at home. `wanted`: the name of a model, or `auto`: the first that makes
    embeddings."""

    upstream: Upstream
    models: Callable[[], Sequence[Mapping[str, Any]]]
    wanted: str
    clock_ms: Callable[[], int]

    def current(self) -> EmbeddingModel | None:
        """None if the server has none. Errors: ModelUnavailable, also where a named one is not there or does something
        else."""
        for row in self.models():
            makes_vectors = "embeddings" in row.get("capabilities", () if self.wanted == AUTO else ("embeddings",))
            if makes_vectors and self.wanted in (AUTO, row["id"]):
                return _model(row)
        if self.wanted == AUTO:
            return None
        raise ModelUnavailable(
            f"No server at home has the embedding model {self.wanted!r}: see SLUICE_EMBEDDING_MODEL."
        )

    def vectors(
        self, account_id: str, model: EmbeddingModel, texts: Sequence[str], kind: Literal["query", "passage"]
    ) -> Made:
        """Errors: as `Upstream.fetch`; ModelUnavailable also where the server has another version by now."""
        body: dict[str, Any] = {"model": model.name, "input": list(texts)}
        if model.version:  # Sluice's own engine; others may refuse a field that they do not know
            body["input_type"] = kind
        answer = self._fetch(account_id, "/v1/embeddings", body)
        try:
            ordered = sorted(answer["data"], key=lambda one: int(one["index"]))
            vectors = [packed(one["embedding"]) for one in ordered]
            used, version = int(answer["usage"]["prompt_tokens"]), answer.get("version") or ""
            details = answer["usage"].get("prompt_tokens_details") or {}
            cached = min(max(int(details.get("cached_tokens") or 0), 0), used)
        except (AttributeError, LookupError, TypeError, ValueError) as exc:
            raise ModelUnavailable() from exc
        if len(vectors) != len(texts) or (model.version and version != model.version):
            raise ModelUnavailable()
        return Made(vectors, used, cached)

    def counts(self, account_id: str, model: EmbeddingModel, texts: Sequence[str]) -> list[int]:
        """The tokens of each text: exact for Sluice's own engine, else estimated. Errors: as `Upstream.fetch`."""
        if not model.version:
            short = model.context_tokens is not None and model.context_tokens < SHORT_CONTEXT
            return [max(tokens(text), most_tokens(text)) if short else tokens(text) for text in texts]
        found: list[int] = []
        for some in _batches(texts):
            answer = self._fetch(account_id, "/tokenize", {"model": model.name, "texts": some})
            counts = answer.get("counts")
            if not isinstance(counts, list) or len(counts) != len(some):
                raise ModelUnavailable()
            found += map(int, counts)
        return found

    def _fetch(self, account_id: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """No text of a document leaves home: it does not say whether its owner's API token was local-only."""
        names = (request_id(self.clock_ms()), account_id)
        return self.upstream.fetch(UpstreamCall(path, body, *names, DEADLINE_SECONDS, local_only=True))


def _model(row: Mapping[str, Any]) -> EmbeddingModel:
    said = row.get("embedding")
    said = said if isinstance(said, Mapping) else {}
    return EmbeddingModel(
        str(row["id"]),
        str(said.get("version") or ""),
        _number(said.get("floor")),
        _number(said.get("unrelated")),
        row.get("context_window"),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and -1 <= value < 1 else None


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    some: list[str] = []
    size = 0
    for text in texts:
        if some and (len(some) == COUNTED_TEXTS or size + len(text) > COUNTED_CHARACTERS):
            yield some
            some, size = [], 0
        some.append(text)
        size += len(text)
    if some:
        yield some
