"""Sessions of logged-in people. The session token is `ses_….SECRET`; the store keeps only a hash of the secret.

A fast hash is enough because the secret is 256 random bits, which cannot be guessed.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.factors import FRESH_MS
from sluice.domain.errors import AccountSuspended, NotAuthenticated
from sluice.domain.ids import random_id

SCHEMA = 1
FORM = re.compile(r"(ses_[0-9a-z]{16})\.([A-Za-z0-9_-]{43})", re.ASCII)
USER_AGENT_CHARACTERS = 200
HOUR_MS = 3_600_000
MOST_SESSIONS = 100  # an account's


@dataclass(frozen=True)
class Session:
    session_id: str
    account_id: str
    secret_hash: str = field(repr=False)
    epoch: int  # the account's epoch at login: raising that one ends all sessions
    created_ms: int
    expires_ms: int
    user_agent: str = ""
    proven_ms: int | None = None  # when it last showed the password, after the login
    factor_ms: int | None = None  # when it last showed a second factor
    schema: int = SCHEMA


@dataclass(frozen=True)
class NewSession:
    """A session and its token. The token is not stored: only the client keeps it."""

    session: Session
    session_token: str = field(repr=False)


def new_session(
    account: Account, *, hours: int, user_agent: str, now_ms: int, factor_ms: int | None = None
) -> NewSession:
    """`factor_ms`: when a second factor was shown for it, if one was."""
    session_id, secret = random_id("ses_"), secrets.token_urlsafe(32)
    session = Session(
        session_id=session_id,
        account_id=account.account_id,
        secret_hash=hash_secret(secret),
        epoch=account.session_epoch,
        created_ms=now_ms,
        expires_ms=now_ms + hours * HOUR_MS,
        user_agent=user_agent[:USER_AGENT_CHARACTERS],
        factor_ms=factor_ms,
    )
    return NewSession(session, f"{session_id}.{secret}")


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def parse_session_token(text: str) -> tuple[str, str]:
    """The session id and the secret. Errors: NotAuthenticated when the form is wrong."""
    match = FORM.fullmatch(text)
    if match is None:
        raise NotAuthenticated()
    return match[1], match[2]


def check_session(session: Session, secret: str, account: Account, now_ms: int, *, leaving: bool = False) -> None:
    """Errors: NotAuthenticated (wrong, expired or ended), AccountSuspended. `leaving` also accepts an account that is
    being deleted."""
    if not hmac.compare_digest(session.secret_hash, hash_secret(secret)) or not is_current(session, account, now_ms):
        raise NotAuthenticated()
    if account.status == "suspended":
        raise AccountSuspended()
    if account.status != "active" and not (leaving and account.status == "deleting"):
        raise NotAuthenticated()


def is_fresh(session: Session, account: Account, now_ms: int) -> bool:
    """Whether the session showed, within the last quarter of an hour, the best that the account has: a second factor,
    or else the password."""
    shown_ms = session.factor_ms if account.factors else max(session.created_ms, session.proven_ms or 0)
    return (shown_ms or 0) + FRESH_MS > now_ms


def is_current(session: Session, account: Account, now_ms: int) -> bool:
    return session.expires_ms > now_ms and session.epoch == account.session_epoch
