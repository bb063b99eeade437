"""Mail an account's owner, once a month each, when 80 % and when all of the month's tokens are used. The mail is also
what says so to others (ADR 127): it is written also where the owner wants none, and not sent."""

from collections import OrderedDict
from datetime import date
from typing import Any

from sluice.domain.gateway.quota import notices_due
from sluice.domain.mails.mail import Kind
from sluice.domain.periods import period_of
from sluice.ports.accounts import AccountStore
from sluice.ports.gateway import HotStore
from sluice.ports.mails import MailStore
from sluice.services.mails.queue import queue_mail

KEEP_QUEUED = 10_000


class QuotaMails:
    """Remembers queued mails to save a write for each batch. The mail's id ensures that each is sent only once."""

    def __init__(self, grants: HotStore, accounts: AccountStore, mails: MailStore) -> None:
        self._grants, self._accounts, self._mails = grants, accounts, mails
        self._queued: OrderedDict[tuple[str, int, Kind], None] = OrderedDict()

    def check(self, account_id: str, now_ms: int, *, refused: bool = False) -> list[Kind]:
        """→ the new mails. `refused`: a request exceeded the rest of the quota. Errors: StoreUnavailable."""
        if refused and (account_id, period_of(now_ms), Kind.QUOTA_100) in self._queued:
            return []  # refusals may be frequent, so skip the reads
        grant = self._grants.grant(account_id)
        if grant is None:
            return []
        due = [
            kind for kind in notices_due(grant, refused=refused) if (account_id, grant.period, kind) not in self._queued
        ]
        account = self._accounts.get(account_id) if due else None
        if account is None:
            return []
        month = date(grant.period // 100, grant.period % 100, 1).strftime("%B %Y")
        data: dict[str, str | int] = {
            "monthly_tokens": grant.limits.monthly_tokens,
            "period": month,
            "month": grant.period,
        }
        told: dict[str, Any] = {"data": data, "silent": not account.wants_mail("quota.reached")}
        new = []
        for kind in due:
            if queue_mail(kind, account, mails=self._mails, now_ms=now_ms, once=(grant.period,), **told):
                new.append(kind)
            self._remember((account_id, grant.period, kind))
        return new

    def _remember(self, notice: tuple[str, int, Kind]) -> None:
        self._queued[notice] = None
        while len(self._queued) > KEEP_QUEUED:
            self._queued.popitem(last=False)
