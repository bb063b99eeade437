"""How long requests took: from the ledger's own records, one by one, because a mean hides the slow ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sluice.domain.usage.ledger import LedgerRecord


@dataclass(frozen=True)
class Latency:
    """Of `requests` looked at, in ms; None where none of them says."""

    requests: int
    half_ms: int | None  # half of them were answered within
    most_ms: int | None  # 95 of 100 were
    first_token_half_ms: int | None


def latency(records: Iterable[LedgerRecord]) -> Latency:
    timed = [record for record in records if record.response_time_ms is not None]
    whole = sorted(record.response_time_ms for record in timed if record.response_time_ms is not None)
    first = sorted(record.ttft_ms for record in timed if record.ttft_ms is not None)
    return Latency(len(whole), nearest_rank(whole, 50), nearest_rank(whole, 95), nearest_rank(first, 50))


def nearest_rank(ordered: Sequence[int], percent: int) -> int | None:
    """The least value that `percent` of them do not exceed: one of them, never between two."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None
