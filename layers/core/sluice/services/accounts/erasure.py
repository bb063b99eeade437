"""Erase an account: first API tokens, then sessions, then personal data. The ledger keeps the amounts.

    close grant ─ status "deleting" + a line in the list of deletions ─ erase ─ account and address go ─ last session
          └─ no request is admitted      └─ no login; after a crash from here on, the sweeper or a repetition with
             from here on                    the same session finishes the deletion
Between the first two, what was used of the month is kept for the address.

The caller waits for at most `SLICE` items of each kind. From a minute later the sweeper repeats every deletion, slice
by slice, to erase the rest, and what was being written when the deletion began (a login, the log of an answer, an index
that lagged). Each step may be repeated.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import Action, new_event
from sluice.domain.errors import PaymentUnavailable, StoreUnavailable
from sluice.ports.accounts import AccountStore, AuditLog, SessionStore
from sluice.ports.gateway import ContentStore, GrantStore, HotStore
from sluice.ports.mails import MailStore
from sluice.ports.tokens import TokenStore
from sluice.ports.usage import RefusalStore
from sluice.ports.webhooks import WebhookStore
from sluice.services.accounts.used_quota import QuotaOfAddress
from sluice.services.documents.erase import EraseDocuments

log = logging.getLogger("sluice.accounts")

SLICE = 1_000  # items erased in one go: some seconds
SECOND_LOOK_MS = 60_000  # other writes have ended by then; leases show the streams that have not


def begin(
    accounts: AccountStore, grants: GrantStore, quotas: QuotaOfAddress, account: Account, now_ms: int
) -> Account | None:
    """Refuse the account's API tokens and sessions from now on; the sweeper erases it if nobody else does. → the
    account as it is now, None if it has gone meanwhile. Errors: StoreUnavailable, after which it can be repeated."""
    account_id = account.account_id
    quotas.leave(account.email_key, *grants.close(account_id), now_ms)
    leaving = accounts.begin_deletion(account_id, now_ms)
    if leaving is not None and leaving.email_key != account.email_key:  # a mailed code has moved it since it was read
        quotas.leave(leaving.email_key, *grants.used(account_id), now_ms)
    return leaving


@dataclass(frozen=True)
class Erasure:
    """All stores that hold data of an account. Both methods raise StoreUnavailable and can be repeated."""

    accounts: AccountStore
    sessions: SessionStore
    tokens: TokenStore
    grants: GrantStore
    contents: ContentStore
    mails: MailStore
    audit: AuditLog
    hot: HotStore
    documents: EraseDocuments
    quotas: QuotaOfAddress
    refusals: RefusalStore
    webhooks: WebhookStore
    end_payment: Callable[[str], None] = lambda account_id: None  # by the sweeper: who deletes does not wait for it

    def delete(self, account: Account, session_id: str, now_ms: int) -> None:
        """The caller's session, `session_id`, ends last, so that the caller can repeat the call after a failure."""
        account_id = account.account_id
        leaving = begin(self.accounts, self.grants, self.quotas, account, now_ms)
        if leaving is None:
            return  # a concurrent request has deleted it
        self.audit.put(new_event(Action.ACCOUNT_DELETED, actor=account_id, target=account_id, now_ms=now_ms))
        self._erase(account_id, session_id)
        self.accounts.end_deletion(leaving)
        self.sessions.erase_account(account_id)

    def finish(self, now_ms: int, time_left: Callable[[], bool] = lambda: True) -> int:
        """Finish deletions, as the sweeper does each minute. A large account waits for the others after each slice.
        → how many are complete."""
        due = deque(
            account_id
            for account_id, began_ms in self.accounts.deletions().items()
            if now_ms - began_ms >= SECOND_LOOK_MS
        )
        complete = 0
        while due and time_left():
            outcome = self._finish(due[0])
            complete += outcome == "complete"
            due.rotate(-1)
            if outcome != "more":
                due.pop()
        return complete

    def _finish(self, account_id: str) -> Literal["complete", "more", "later"]:
        try:
            self.grants.close(account_id)
            grant = self.hot.grant(account_id)  # read before erasing: running requests may write until settled
            erased = self._erase(account_id)
            account = self.accounts.get(account_id)
            if account is not None:
                self.accounts.end_deletion(account)
            self.end_payment(account_id)
            if not erased:
                return "more"
            if grant is not None and grant.leases:
                return "later"
            self.accounts.forget_deletion(account_id)
        except (StoreUnavailable, PaymentUnavailable):
            log.warning("deletion not finished, will be tried in the next run", extra={"account_id": account_id})
            return "later"
        return "complete"

    def _erase(self, account_id: str, kept_session_id: str = "") -> bool:
        """A slice of what may be much, and all of what is little. → whether nothing is left."""
        erased = self.contents.erase_account(account_id, SLICE)
        erased &= self.documents.erase_account(account_id, SLICE)
        self.refusals.erase_account(account_id)
        self.tokens.erase_account(account_id)
        self.webhooks.erase_account(account_id)
        self.mails.erase_account(account_id)
        self.audit.forget_client(account_id)
        self.sessions.erase_account(account_id, kept_session_id)
        return erased
