"""Authentication by session cookie or bearer session token. It accepts no API tokens.

A browser adds the cookie by itself, so a state-changing request with a cookie must show that it comes from our own
pages (OWASP: Fetch Metadata and Origin checks). A bearer session token is never added by itself, so it needs no check.
"""

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import request

from sluice import settings
from sluice.domain import errors
from sluice.domain.accounts.sessions import is_fresh
from sluice.wiring import peers
from sluice.wiring.accounts import sessions
from sluice.wiring.settings import site

COOKIE = "sluice_session"
HOST_ONLY = "__Host-"  # browsers accept this prefix only over https, for this exact host
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Caller:
    """A logged-in person and their session."""

    account_id: str
    session_id: str
    role: str
    epoch: int = 0  # of the session
    language: str = ""  # of the account, if it has chosen one
    has_factor: bool = False
    is_fresh: bool = False  # see `domain/accounts/sessions.is_fresh`

    def require_fresh(self) -> None:
        """For what a stolen session must not be enough for. Errors: ConfirmationRequired."""
        if not self.is_fresh:
            raise errors.ConfirmationRequired()

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


def cookie_name() -> str:
    """The only accepted cookie. On https it has the prefix, because a sibling domain can set a plain one (ADR 64)."""
    return HOST_ONLY + COOKIE if settings.common().https else COOKIE


def require_session(admin: bool = False, leaving: bool = False, before_terms: bool = False) -> Caller:
    """`before_terms`: also before the terms of use are accepted. So do `leaving` and `admin`, since an admin sets them.

    Errors: NotAuthenticated, CrossSiteRequest, AccountSuspended, Forbidden (not an admin), ConfirmationRequired (an
    admin's change without the second factor that the admin has set up), TermsNotAccepted, StoreUnavailable."""
    session_token, from_cookie = _session_token()
    found = sessions().authenticate(session_token, now_ms(), leaving=leaving)
    if from_cookie and request.method not in SAFE_METHODS:
        require_same_origin()
    account, session = found.account, found.session
    caller = Caller(
        account.account_id,
        session.session_id,
        account.role,
        session.epoch,
        account.language,
        has_factor=bool(account.factors),
        is_fresh=is_fresh(session, account, now_ms()),
    )
    if admin and not caller.is_admin:
        raise errors.Forbidden()
    if not (admin or leaving or before_terms) and (wanted := site().terms_version) and account.terms != wanted:
        raise errors.TermsNotAccepted()
    if admin and caller.has_factor and request.method not in SAFE_METHODS:
        caller.require_fresh()
    return caller


def _session_token() -> tuple[str, bool]:
    """The session token, and whether it came in a cookie. An explicit header takes precedence over the cookie."""
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, value = header.partition(" ")
        if scheme.lower() != "bearer" or not value.strip():
            raise errors.NotAuthenticated()
        return value.strip(), False
    cookie, origin = request.cookies.get(cookie_name()), request.headers.get("Origin")
    foreign = origin is not None and request.method in SAFE_METHODS and not _is_own(origin.lower())
    if not cookie or foreign:  # a page of another origin reads by session token, never by cookie (http/cors.py)
        raise errors.NotAuthenticated()
    return cookie, True


def require_same_origin() -> None:
    """Raises CrossSiteRequest unless the browser shows that one of our own pages makes the request.

    A script cannot set `Sec-Fetch-Site`. Older browsers send only `Origin`, which must be the origin of the base URL or
    of this request (a page cannot choose the Host header of its victim). At least one of the headers must be there, and
    each one that is there must agree.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    speak = [site == "same-origin"] if site is not None else []
    speak += [_is_own(origin.lower())] if origin is not None else []
    if not speak or not all(speak):
        raise errors.CrossSiteRequest()


def _is_own(origin: str) -> bool:
    """Compares with the request's own origin first, because reading the base URL may cost a call."""
    return origin == _origin(request.host_url) or origin == _origin(peers.base_url())


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def now_ms() -> int:
    """The clock of the account functions' HTTP side, in Unix milliseconds."""
    return time.time_ns() // 1_000_000
