"""The end of an account: API tokens first, then every login, then all that is personal; amounts stay.

    close grant ─ status "deleting" + a line in the list of deletions ─ erase ─ account and address go ─ last session
          └─ no request is admitted      └─ no login; a death from here on is made up for by the sweeper, or by the
             from here on                    same session asking again

The sweeper goes over every deletion once more, a minute later: what was on its way when it began (a login, an answer
that was just being kept, an index that lagged) is erased then. Each step may be repeated.
"""

import logging
from dataclasses import dataclass

from sluice.domain.accounts.audit import Action, new_event
from sluice.domain.errors import StoreUnavailable
from sluice.ports.accounts import AccountStore, AuditLog, SessionStore
from sluice.ports.gateway import ContentStore, GrantStore, HotStore
from sluice.ports.mails import MailStore
from sluice.ports.tokens import TokenStore
from sluice.services.documents.erase import EraseDocuments

log = logging.getLogger("sluice.accounts")

SECOND_LOOK_MS = 60_000  # what was under way is over by then, but for streams, whose leases tell


@dataclass(frozen=True)
class Erasure:
    """Where things of an account lie. Errors of both: StoreUnavailable, after which asking again goes on."""

    accounts: AccountStore
    sessions: SessionStore
    tokens: TokenStore
    grants: GrantStore
    contents: ContentStore
    mails: MailStore
    audit: AuditLog
    hot: HotStore
    documents: EraseDocuments

    def delete(self, account_id: str, session_id: str, now_ms: int) -> None:
        """`session_id`, the caller's own, goes last, so that it can ask again until nothing is left."""
        self.grants.close(account_id)
        account = self.accounts.begin_deletion(account_id, now_ms)
        if account is None:
            return  # another request was faster
        self.audit.put(new_event(Action.ACCOUNT_DELETED, actor=account_id, target=account_id, now_ms=now_ms))
        self._erase(account_id, session_id)
        self.accounts.end_deletion(account)
        self.sessions.erase_account(account_id)

    def finish(self, now_ms: int) -> int:
        """The sweeper's part: how many deletions are over, with nothing left behind."""
        return sum(
            self._finish(account_id, now_ms)
            for account_id, began_ms in self.accounts.deletions().items()
            if now_ms - began_ms >= SECOND_LOOK_MS
        )

    def _finish(self, account_id: str, now_ms: int) -> bool:
        try:
            self.grants.close(account_id)
            grant = self.hot.grant(account_id)  # before erasing: what runs now may write until it is settled
            self._erase(account_id)
            account = self.accounts.get(account_id)
            if account is not None:
                self.accounts.end_deletion(account)
            if grant is not None and grant.leases:
                return False
            self.accounts.forget_deletion(account_id)
        except StoreUnavailable:
            log.warning("deletion not finished, the next run will", extra={"account_id": account_id})
            return False
        return True

    def _erase(self, account_id: str, kept_session_id: str = "") -> None:
        self.contents.erase_account(account_id)
        self.documents.erase_account(account_id)
        self.tokens.erase_account(account_id)
        self.mails.erase_account(account_id)
        self.audit.forget_client(account_id)
        self.sessions.erase_account(account_id, kept_session_id)
