"""Refused requests of an account: how many a day, API token and error code, and the last ones. All of it is bounded.

They are no part of the ledger, and no money depends on them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

KEPT_DAYS = 90
MAX_LAST = 50
MAX_COUNTERS = 200  # of one day; what comes then is counted under the token `OTHER`, by its code
OTHER = "other"


@dataclass(frozen=True)
class Refusal:
    """One refused request. `code`: of `http/errors.py`. `endpoint`: the route, "/v1/chat/completions"."""

    request_id: str
    at_ms: int
    token_id: str
    code: str
    status: int
    endpoint: str


@dataclass(frozen=True)
class RefusedDay:
    """The refusals of one account on one UTC day. `counts`: by API token and code. `last`: newest first."""

    account_id: str
    day: str
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    last: tuple[Refusal, ...] = ()

    def __add__(self, other: "RefusedDay") -> "RefusedDay":
        counts = dict(self.counts)
        for (token_id, code), count in other.counts.items():
            known = (token_id, code) in counts or len(counts) < MAX_COUNTERS
            key = (token_id if known else OTHER, code)
            counts[key] = counts.get(key, 0) + count
        return replace(self, counts=counts, last=newest((*self.last, *other.last)))


def newest(refusals: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """The last `MAX_LAST`, newest first."""
    return tuple(sorted(refusals, key=lambda one: (one.at_ms, one.request_id), reverse=True)[:MAX_LAST])
