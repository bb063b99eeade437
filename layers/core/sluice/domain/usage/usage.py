"""Usage added up by day, model and API token. All amounts are integers, so that a sum is never rounded."""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
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
    cost_micro_usd: int | None = None  # None: no request had a price
    response_time_ms: int = 0  # a sum; divide it by `requests` for the mean
    upstream_micro_usd: int = 0  # what it cost the owner, as far as that is known

    def __add__(self, other: "Amounts") -> "Amounts":
        return self._each(operator.add, other)

    def __sub__(self, other: "Amounts") -> "Amounts":
        return self._each(operator.sub, other)

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def _each(self, combined: Callable[[int, int], int], other: "Amounts") -> "Amounts":
        def each(one: int | None, two: int | None) -> int | None:
            return None if one is None and two is None else combined(one or 0, two or 0)

        return Amounts(*map(each, vars(self).values(), vars(other).values()))  # type: ignore[arg-type]


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
        """The inverse of `key`. A model's name may contain `#`; a day and a token id cannot."""
        day, _, rest = key.partition("#")
        model, _, token_id = rest.rpartition("#")
        return cls(day, model, token_id)


def bucket_of(record: LedgerRecord, zone: tzinfo = UTC) -> Bucket:
    """The day comes from the request id, by which the ledger is ordered, so that a day is one range of ids."""
    return Bucket(day_of(request_time_ms(record.request_id), zone), record.model, record.token_id)


def amounts_of(record: LedgerRecord) -> Amounts:
    return Amounts(
        1,
        record.prompt_tokens,
        record.completion_tokens,
        record.cost_micro_usd,
        record.response_time_ms or 0,
        record.upstream_micro_usd or 0,
    )


def add_up(parts: Iterable[tuple[Key, Amounts]]) -> dict[Key, Amounts]:
    sums: dict[Key, Amounts] = {}
    for key, amounts in parts:
        sums[key] = sums.get(key, NOTHING) + amounts
    return sums


def roll_up(records: Iterable[LedgerRecord], zone: tzinfo = UTC) -> dict[Bucket, Amounts]:
    return add_up((bucket_of(record, zone), amounts_of(record)) for record in records)


def grouped(sums: Mapping[Bucket, Amounts], group: Group) -> dict[str, Amounts]:
    """Amounts by day, model or API token, sorted by that key."""
    key = "token_id" if group == "token" else group
    totals = add_up((str(getattr(bucket, key)), amounts) for bucket, amounts in sums.items())
    return {name: totals[name] for name in sorted(totals) if totals[name]}


Split = Literal["", "model", "token"]


def by_hour(records: Iterable[LedgerRecord], split: Split, zone: tzinfo = UTC) -> dict[tuple[str, str], Amounts]:
    """As `by_day`, but by hour, from ledger records because roll-ups do not store hours."""

    def key(record: LedgerRecord) -> tuple[str, str]:
        return hour_of(request_time_ms(record.request_id), zone), "" if not split else getattr(
            bucket_of(record), _KEYS[split]
        )

    totals = add_up((key(record), amounts_of(record)) for record in records)
    return {name: totals[name] for name in sorted(totals, key=lambda at: (datetime.fromisoformat(at[0]), at[1]))}


def by_day(sums: Mapping[Bucket, Amounts], split: Split) -> dict[tuple[str, str], Amounts]:
    """Amounts by (day, model or API token), sorted. Without a split the second part of the key is empty."""
    keys = ((bucket.day, str(getattr(bucket, _KEYS[split])) if split else "") for bucket in sums)
    totals = add_up(zip(keys, sums.values(), strict=True))
    return {name: totals[name] for name in sorted(totals) if totals[name]}


def total(sums: Mapping[Key, Amounts]) -> Amounts:
    return sum(sums.values(), NOTHING)
