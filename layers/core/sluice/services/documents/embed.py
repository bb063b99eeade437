"""Vectors of passages and questions, cached by content, charged like other tokens.

A passage is charged once, because its vector is stored under the hash of text and model, and a repetition of the same
work has the same ledger id. If an account's quota is used up, its searches use words only until the month ends.
"""

import base64
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sluice.domain.documents import keys
from sluice.domain.documents.nearness import Asked, EmbeddingModel
from sluice.domain.documents.passages import TARGET_TOKENS, Block, Chunk, Measure, chunks_of
from sluice.domain.documents.vectors import Vectors
from sluice.domain.gateway.admission import GOOD
from sluice.domain.ids import request_id, ulid_of, ulid_time_ms
from sluice.domain.periods import period_of
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.pricing import Prices, cost_micro_usd
from sluice.ports.documents import Blobs
from sluice.ports.gateway import HotStore
from sluice.ports.usage import Accountant
from sluice.services.documents.embedding_server import EmbeddingServer, Made

log = logging.getLogger("sluice.ingestion")

AT_ONCE = 32
TOKEN_ID = "documents"  # stands in the ledger for the id of an API token, because no token made the request
BESIDE_TEXT = 32
"""Model tokens that an input needs beside a passage: its first and last one, and the model's prefix."""


@dataclass(frozen=True)
class Embed:
    server: EmbeddingServer
    blobs: Blobs
    hot: HotStore
    accountant: Accountant
    clock_ms: Callable[[], int]
    prices: Callable[[str], Prices | None] = lambda model: None

    def usable(self, account_id: str) -> EmbeddingModel | None:
        """The current model; None if there is none, or the account has no quota left. Errors: ModelUnavailable."""
        model = self.server.current()
        return model if model and self._may(account_id) else None

    def passages(self, account_id: str, file_id: str, blocks: Sequence[Block]) -> tuple[list[Chunk], Vectors] | None:
        """The file's passages, cut by the model's tokens, with their vectors; None if there is no model or no quota.
        Errors: as `Upstream.fetch`."""
        model = self.usable(account_id)
        if model is None:
            return None
        measure = self._measure(account_id, model)
        chunks = list(chunks_of(blocks, measure))
        return chunks, Vectors(model.id, self._vectors(account_id, file_id, model, inputs_of(chunks, model, measure)))

    def question(self, account_id: str, text: str) -> Asked | None:
        """The question's vector, or None if none can be made now; then the search uses words only."""
        try:
            model = self.usable(account_id)
            if model is None:
                return None
            made = self.server.vectors(account_id, model, [text], "query")
        except Exception:
            log.warning("no vector for a question, searching by words only", exc_info=True)
            return None
        now_ms = self.clock_ms()
        self._charge(account_id, request_id(now_ms), model, made, now_ms)
        return Asked(made.vectors[0], model)

    def _measure(self, account_id: str, model: EmbeddingModel) -> Measure:
        room = TARGET_TOKENS if model.context_tokens is None else (model.context_tokens - BESIDE_TEXT) * 2 // 3
        return Measure(lambda texts: self.server.counts(account_id, model, texts), min(TARGET_TOKENS, max(room, 8)))

    def _vectors(self, account_id: str, file_id: str, model: EmbeddingModel, texts: Sequence[str]) -> Sequence[bytes]:
        """In the order of the texts."""
        digest = hashlib.sha256(json.dumps([model.id, *texts]).encode()).hexdigest()
        key = keys.vectors_key(account_id, file_id, digest)
        kept = self.blobs.get(key)
        if kept is not None:
            return [base64.b64decode(one) for one in json.loads(kept)]
        if not texts:
            return []
        made = Made([], 0, 0)
        for start in range(0, len(texts), AT_ONCE):
            some = self.server.vectors(account_id, model, texts[start : start + AT_ONCE], "passage")
            made = Made(made.vectors + some.vectors, made.used + some.used, made.cached + some.cached)
        tail = hashlib.sha256(f"{file_id} {digest}".encode()).digest()[:10]
        made_ms = ulid_time_ms(file_id.removeprefix("file_"))
        ledger_id = "req_" + ulid_of(made_ms.to_bytes(6, "big") + tail)
        self._charge(account_id, ledger_id, model, made, self.clock_ms())
        self.blobs.put(key, json.dumps([base64.b64encode(one).decode() for one in made.vectors]).encode())
        return made.vectors

    def _may(self, account_id: str) -> bool:
        grant = self.hot.grant(account_id)
        if grant is None or grant.standing != GOOD:
            return False
        spent = grant.period_tokens if grant.period == period_of(self.clock_ms()) else 0
        return spent < grant.limits.monthly_tokens

    def _charge(self, account_id: str, ledger_id: str, model: EmbeddingModel, made: Made, now_ms: int) -> None:
        record = LedgerRecord(
            account_id, ledger_id, TOKEN_ID, model.name, "embeddings", False, 200, made.used, 0, made.cached,
            cost_micro_usd(self.prices(model.name), made.used, 0, made.cached), now_ms, None, None, None,
            period_of(now_ms), "ingestion",
        )  # fmt: skip
        # The very one: another that does the same work at once, in the same millisecond, makes an equal record.
        if self.hot.put_record(record) is record:
            self.accountant.add_to_quota(account_id, record.period, made.used)


def inputs_of(chunks: Sequence[Chunk], model: EmbeddingModel, measure: Measure) -> list[str]:
    """What is embedded: the headings and the text, or the text alone where both are too long for the model."""
    whole = [f"{one.title}\n{one.text}" if one.title else one.text for one in chunks]
    if model.context_tokens is None:
        return whole
    most = model.context_tokens - BESIDE_TEXT
    counts = measure.count(whole) if whole else []
    return [both if count <= most else one.text for both, count, one in zip(whole, counts, chunks, strict=True)]
