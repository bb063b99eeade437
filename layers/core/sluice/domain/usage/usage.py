"""Usage: what was used, added up by day, model and API token. Integers only, so that a sum is never rounded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from sluice.domain.ids import request_time_ms
from sluice.domain.periods import day_of, hour_of
from sluice.domain.usage.ledger import LedgerRecord

Group = Literal["day", "model", "token"]
Key = TypeVar("Key")
_KEYS = {"model": "model", "token": "token_id"}


@dataclass(frozen=True)
class Amounts:
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_micro_usd: int = 0
    response_time_ms: int = 0  # the sum: divide by `requests` for the mean

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost_micro_usd + other.cost_micro_usd,
            self.response_time_ms + other.response_time_ms,
        )

    def __sub__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.requests - other.requests,
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.cost_micro_usd - other.cost_micro_usd,
            self.response_time_ms - other.response_time_ms,
        )


NOTHING = Amounts()


@dataclass(frozen=True, order=True)
class Bucket:
    """One roll-up: a day (`2026-11-20`, UTC), a model and an API token of one account."""

    day: str
    model: str
    token_id: str

    @property
    def key(self) -> str:
        return f"{self.day}#{self.model}#{self.token_id}"

    @classmethod
    def parse(cls, key: str) -> "Bucket":
        """A model's name may hold `#`; a day and a token id cannot."""
        day, _, rest = key.partition("#")
        model, _, token_id = rest.rpartition("#")
        return cls(day, model, token_id)


def bucket_of(record: LedgerRecord) -> Bucket:
    """By the time in the request id, which is the ledger's order: so a day is one range of ids, to the record."""
    return Bucket(day_of(request_time_ms(record.request_id)), record.model, record.token_id)


def amounts_of(record: LedgerRecord) -> Amounts:
    return Amounts(
        1, record.prompt_tokens, record.completion_tokens, record.cost_micro_usd, record.response_time_ms or 0
    )


def add_up(parts: Iterable[tuple[Key, Amounts]]) -> dict[Key, Amounts]:
    sums: dict[Key, Amounts] = {}
    for key, amounts in parts:
        sums[key] = sums.get(key, NOTHING) + amounts
    return sums


def roll_up(records: Iterable[LedgerRecord]) -> dict[Bucket, Amounts]:
    return add_up((bucket_of(record), amounts_of(record)) for record in records)


def grouped(sums: Mapping[Bucket, Amounts], group: Group) -> dict[str, Amounts]:
    """By day, model or API token, in the order of that key."""
    key = "token_id" if group == "token" else group
    found = add_up((str(getattr(bucket, key)), amounts) for bucket, amounts in sums.items())
    return {name: found[name] for name in sorted(found) if found[name] != NOTHING}


Split = Literal["", "model", "token"]


def by_hour(records: Iterable[LedgerRecord], split: Split) -> dict[tuple[str, str], Amounts]:
    """As `by_day`, from the ledger's own records: roll-ups know no hours."""

    def key(record: LedgerRecord) -> tuple[str, str]:
        return hour_of(request_time_ms(record.request_id)), "" if not split else getattr(
            bucket_of(record), _KEYS[split]
        )

    found = add_up((key(record), amounts_of(record)) for record in records)
    return {name: found[name] for name in sorted(found)}


def by_day(sums: Mapping[Bucket, Amounts], split: Split) -> dict[tuple[str, str], Amounts]:
    """By day, and within a day by model or API token; with no split the second key is empty. In order."""
    keys = ((bucket.day, str(getattr(bucket, _KEYS[split])) if split else "") for bucket in sums)
    found = add_up(zip(keys, sums.values(), strict=True))
    return {name: found[name] for name in sorted(found) if found[name] != NOTHING}


def total(sums: Mapping[Key, Amounts]) -> Amounts:
    return sum(sums.values(), NOTHING)
