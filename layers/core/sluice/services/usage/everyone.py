"""Usage across all accounts, for admins, from the roll-ups, which are a few seconds behind the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sluice.domain.periods import day_of
from sluice.domain.spans import Span
from sluice.domain.usage.usage import Amounts, Bucket, add_up, grouped, total
from sluice.ports.accounts import AccountStore
from sluice.ports.usage import RollupStore

Group = Literal["day", "model", "token", "account"]
TOP = 10


@dataclass(frozen=True)
class EveryonesUsage:
    """`accounts`: by account id. `complete` is False if there were more roll-ups than can be summed in one call."""

    by_bucket: Mapping[Bucket, Amounts]
    accounts: Mapping[str, Amounts]
    complete: bool
    emails: Mapping[str, str]  # of the top accounts that still exist

    @property
    def total(self) -> Amounts:
        return total(self.accounts)

    def grouped(self, group: Group) -> dict[str, Amounts]:
        if group == "account":
            return {name: self.accounts[name] for name in sorted(self.accounts)}
        return grouped(self.by_bucket, group)

    def top(self) -> list[tuple[str, Amounts]]:
        return _top(self.accounts)


NOTHING_USED = EveryonesUsage({}, {}, True, {})


def _top(accounts: Mapping[str, Amounts]) -> list[tuple[str, Amounts]]:
    """Those that used most model tokens, in descending order."""

    def used(entry: tuple[str, Amounts]) -> tuple[int, int, str]:
        name, amounts = entry
        return -(amounts.prompt_tokens + amounts.completion_tokens), -amounts.requests, name

    return sorted(accounts.items(), key=used)[:TOP]


@dataclass(frozen=True)
class EveryonesSums:
    rollups: RollupStore
    accounts: AccountStore

    def between(self, span: Span) -> EveryonesUsage:
        """By whole UTC days: a day that the span only overlaps counts in full. Errors: StoreUnavailable."""
        if span.from_ms >= span.to_ms:
            return NOTHING_USED
        found, complete = self.rollups.everyones(day_of(span.from_ms), day_of(span.to_ms - 1))
        by_account = add_up((account_id, amounts) for (account_id, _), amounts in found.items())
        known = (self.accounts.get(account_id) for account_id, _ in _top(by_account))
        return EveryonesUsage(
            add_up((bucket, amounts) for (_, bucket), amounts in found.items()),
            by_account,
            complete,
            {account.account_id: account.email for account in known if account is not None},
        )
