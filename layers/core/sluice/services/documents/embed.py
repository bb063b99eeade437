"""Vectors of passages and questions from the engine's `/v1/embeddings`, cached by content, charged like other tokens.

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
from sluice.domain.documents.vectors import packed
from sluice.domain.errors import ModelUnavailable
from sluice.domain.gateway.admission import GOOD
from sluice.domain.ids import request_id, ulid_of, ulid_time_ms
from sluice.domain.periods import period_of
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.pricing import Prices, cost_micro_usd
from sluice.ports.documents import Blobs
from sluice.ports.gateway import HotStore, Upstream, UpstreamCall
from sluice.ports.usage import Accountant

log = logging.getLogger("sluice.ingestion")

AT_ONCE = 32
DEADLINE_SECONDS = 30.0
TOKEN_ID = "documents"  # stands in the ledger for the id of an API token, because no token made the request


@dataclass(frozen=True)
class Embed:
    upstream: Upstream
    model: str
    blobs: Blobs
    hot: HotStore
    accountant: Accountant
    clock_ms: Callable[[], int]
    prices: Callable[[str], Prices | None] = lambda model: None

    def passages(self, account_id: str, file_id: str, texts: Sequence[str]) -> list[bytes] | None:
        """Vectors in the order of the texts; None if the quota is used up. Errors: as `Upstream.fetch`."""
        digest = hashlib.sha256(json.dumps([self.model, *texts]).encode()).hexdigest()
        key = keys.vectors_key(account_id, file_id, digest)
        kept = self.blobs.get(key)
        if kept is not None:
            return [base64.b64decode(one) for one in json.loads(kept)]
        if not texts or not self._may(account_id):
            return None if texts else []
        vectors: list[bytes] = []
        used = 0
        for start in range(0, len(texts), AT_ONCE):
            made, tokens = self._ask(account_id, texts[start : start + AT_ONCE])
            vectors += made
            used += tokens
        moment_ms = self.clock_ms()
        tail = hashlib.sha256(f"{file_id} {digest}".encode()).digest()[:10]
        made_ms = ulid_time_ms(file_id.removeprefix("file_"))
        self._charge(account_id, "req_" + ulid_of(made_ms.to_bytes(6, "big") + tail), used, moment_ms)
        self.blobs.put(key, json.dumps([base64.b64encode(one).decode() for one in vectors]).encode())
        return vectors

    def question(self, account_id: str, text: str) -> bytes | None:
        """The question's vector, or None if none can be made now; then the search uses words only."""
        try:
            if not self._may(account_id):
                return None
            (vector,), used = self._ask(account_id, [text])
        except Exception:
            log.warning("no vector for a question, searching by words only", exc_info=True)
            return None
        now_ms = self.clock_ms()
        self._charge(account_id, request_id(now_ms), used, now_ms)
        return vector

    def _may(self, account_id: str) -> bool:
        grant = self.hot.grant(account_id)
        if grant is None or grant.standing != GOOD:
            return False
        spent = grant.period_tokens if grant.period == period_of(self.clock_ms()) else 0
        return spent < grant.limits.monthly_tokens

    def _ask(self, account_id: str, texts: Sequence[str]) -> tuple[list[bytes], int]:
        body = {"model": self.model, "input": list(texts)}
        call = UpstreamCall("/v1/embeddings", body, request_id(self.clock_ms()), account_id, DEADLINE_SECONDS)
        answer = self.upstream.fetch(call)
        try:
            ordered = sorted(answer["data"], key=lambda one: int(one["index"]))
            vectors = [packed(one["embedding"]) for one in ordered]
            used = int(answer["usage"]["prompt_tokens"])
        except (LookupError, TypeError, ValueError) as exc:
            raise ModelUnavailable() from exc
        if len(vectors) != len(texts):
            raise ModelUnavailable()
        return vectors, used

    def _charge(self, account_id: str, ledger_id: str, used: int, now_ms: int) -> None:
        record = LedgerRecord(
            account_id, ledger_id, TOKEN_ID, self.model, "embeddings", False, 200, used, 0, 0,
            cost_micro_usd(self.prices(self.model), used, 0), now_ms, None, None, None, period_of(now_ms), "ingestion",
        )  # fmt: skip
        if self.hot.put_record(record) == record:
            self.accountant.add_to_quota(account_id, record.period, used)
