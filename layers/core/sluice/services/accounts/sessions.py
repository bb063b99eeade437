"""Sessions: authenticate a session token, list sessions, end one."""

from dataclasses import dataclass

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.sessions import Session, check_session, is_current, parse_session_token
from sluice.domain.errors import NotAuthenticated
from sluice.ports.accounts import AccountStore, SessionStore


@dataclass(frozen=True)
class Authenticated:
    account: Account
    session: Session


@dataclass(frozen=True)
class Sessions:
    """Every method may raise StoreUnavailable."""

    sessions: SessionStore
    accounts: AccountStore

    def authenticate(self, session_token: str, now_ms: int, *, leaving: bool = False) -> Authenticated:
        """Reads without a cache, so that an ended session is refused at once. `leaving`: accept accounts being deleted.

        Errors: NotAuthenticated, AccountSuspended.
        """
        session_id, secret = parse_session_token(session_token)
        session = self.sessions.get(session_id)
        account = self.accounts.get(session.account_id) if session else None
        if session is None or account is None:
            raise NotAuthenticated()
        check_session(session, secret, account, now_ms, leaving=leaving)
        return Authenticated(account, session)

    def current(self, account_id: str, now_ms: int) -> list[Session]:
        """The valid sessions, newest first."""
        account = self.accounts.get(account_id)
        found = [s for s in self.sessions.of_account(account_id) if account and is_current(s, account, now_ms)]
        return sorted(found, key=lambda s: (s.created_ms, s.session_id), reverse=True)

    def end(self, account_id: str, session_id: str) -> None:
        """Errors: NotFound (ended already, or another account's)."""
        self.sessions.delete(session_id, account_id)
