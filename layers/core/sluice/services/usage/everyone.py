"""Usage across all accounts, for admins, from the roll-ups, which are a few seconds behind the ledger."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal

from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.domain.periods import day_of
from sluice.domain.spans import Span
from sluice.domain.usage.usage import Amounts, Bucket, add_up, by_day, grouped, roll_up, total
from sluice.ports.accounts import AccountStore
from sluice.ports.usage import LedgerReader, RollupStore
from sluice.services.usage.sums import refuse_zone_of

Group = Literal["day", "model", "token", "account"]
TOP = 10
MOST_ROWS = 20_000  # of the table of all accounts: 3 MB; an answer of AWS Lambda has 6 MB at most
TOO_MUCH = "This is more than one table may hold. Choose fewer days."


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
class DayOfAccount:
    """What one account used of one model on one day. `email`: None if the account was deleted."""

    day: str
    account_id: str
    email: str | None
    model: str
    amounts: Amounts


@dataclass(frozen=True)
class EveryonesSums:
    rollups: RollupStore
    accounts: AccountStore
    ledger: LedgerReader

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

    def table(self, span: Span, zone: tzinfo) -> Iterator[DayOfAccount]:
        """By account, day and model, in that order. UTC days are whole, as in `between`. The days of another zone are
        summed from the ledger of each account that has roll-ups. Errors: StoreUnavailable; ValidationFailed (`from`,
        `tz`) before the first row, if there is more than one call can sum."""
        if span.from_ms >= span.to_ms:
            return
        found, complete = self.rollups.everyones(day_of(span.from_ms), day_of(span.to_ms - 1))
        if not complete or len(found) > MOST_ROWS:
            raise ValidationFailed((FieldProblem("from", TOO_MUCH),))
        refuse_zone_of(zone, total(found).requests)
        by_account: dict[str, dict[Bucket, Amounts]] = defaultdict(dict)
        for (account_id, bucket), amounts in found.items():
            by_account[account_id][bucket] = amounts
        for account_id in sorted(by_account):
            known, sums = self.accounts.get(account_id), by_account[account_id]
            email = known.email if known else None
            if zone is not UTC:
                sums = roll_up(self.ledger.between(account_id, span), zone)
            for (day, model), amounts in by_day(sums, "model").items():
                yield DayOfAccount(day, account_id, email, model, amounts)
