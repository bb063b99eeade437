"""Usage across all accounts, for the admin: from the roll-ups, which are a few seconds behind the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sluice.domain.periods import day_of
from sluice.domain.spans import Span
from sluice.domain.usage import Amounts, Bucket, add_up, grouped, total
from sluice.ports import RollupStore

Group = Literal["day", "model", "token", "account"]
TOP = 10


@dataclass(frozen=True)
class EveryonesUsage:
    """`accounts`: by account id. `complete` is false where there was more than can be added up at once."""

    by_bucket: Mapping[Bucket, Amounts]
    accounts: Mapping[str, Amounts]
    complete: bool

    @property
    def total(self) -> Amounts:
        return total(self.accounts)

    def grouped(self, group: Group) -> dict[str, Amounts]:
        if group == "account":
            return {name: self.accounts[name] for name in sorted(self.accounts)}
        return grouped(self.by_bucket, group)

    def top(self) -> list[tuple[str, Amounts]]:
        """The accounts that used most model tokens, the most first."""

        def used(entry: tuple[str, Amounts]) -> tuple[int, int, str]:
            name, amounts = entry
            return -(amounts.prompt_tokens + amounts.completion_tokens), -amounts.requests, name

        return sorted(self.accounts.items(), key=used)[:TOP]


def everyones_usage(rollups: RollupStore, span: Span) -> EveryonesUsage:
    """Whole UTC days: a roll-up is a day's, so a day that the span only touches counts. Errors: StoreUnavailable."""
    if span.from_ms >= span.to_ms:
        return EveryonesUsage({}, {}, True)
    found, complete = rollups.everyones(day_of(span.from_ms), day_of(span.to_ms - 1))
    return EveryonesUsage(
        add_up((bucket, amounts) for (_, bucket), amounts in found.items()),
        add_up((account_id, amounts) for (account_id, _), amounts in found.items()),
        complete,
    )
