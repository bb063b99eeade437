"""How long requests took, computed from single ledger records because a mean hides the slow requests."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sluice.domain.usage.ledger import LedgerRecord


@dataclass(frozen=True)
class Latency:
    """Percentiles of `requests` records, in ms; None where no record has the figure."""

    requests: int
    half_ms: int | None  # the median
    most_ms: int | None  # the 95th percentile
    first_token_half_ms: int | None


def latency(records: Iterable[LedgerRecord]) -> Latency:
    timed = [record for record in records if record.response_time_ms is not None]
    whole = sorted(record.response_time_ms for record in timed if record.response_time_ms is not None)
    first = sorted(record.ttft_ms for record in timed if record.ttft_ms is not None)
    return Latency(len(whole), nearest_rank(whole, 50), nearest_rank(whole, 95), nearest_rank(first, 50))


def nearest_rank(ordered: Sequence[int], percent: int) -> int | None:
    """The nearest-rank percentile: the least value that `percent` per cent of the values do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None
