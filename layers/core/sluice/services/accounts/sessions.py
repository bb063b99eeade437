"""Sessions: who a session token belongs to, the list, ending one."""

from dataclasses import dataclass

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.sessions import Session, check_session, is_current, parse_session_token
from sluice.domain.errors import NotAuthenticated
from sluice.ports.accounts import AccountStore, SessionStore


@dataclass(frozen=True)
class Authenticated:
    account: Account
    session: Session


def authenticate(
    session_token: str, *, sessions: SessionStore, accounts: AccountStore, now_ms: int, leaving: bool = False
) -> Authenticated:
    """Two consistent reads, no cache: ended means ended. `leaving`: also for an account that is being deleted.

    Errors: NotAuthenticated, AccountSuspended, StoreUnavailable.
    """
    session_id, secret = parse_session_token(session_token)
    session = sessions.get(session_id)
    account = accounts.get(session.account_id) if session else None
    if session is None or account is None:
        raise NotAuthenticated()
    check_session(session, secret, account, now_ms, leaving=leaving)
    return Authenticated(account, session)


def current_sessions(account_id: str, *, sessions: SessionStore, accounts: AccountStore, now_ms: int) -> list[Session]:
    """Those that still work, newest first. Errors: StoreUnavailable."""
    account = accounts.get(account_id)
    found = [s for s in sessions.of_account(account_id) if account and is_current(s, account, now_ms)]
    return sorted(found, key=lambda s: (s.created_ms, s.session_id), reverse=True)


def end_session(session_id: str, account_id: str, *, sessions: SessionStore) -> None:
    """Errors: NotFound (ended already, or another's), StoreUnavailable."""
    sessions.delete(session_id, account_id)
