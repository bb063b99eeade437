"""Who is asking: the session cookie or a bearer session token, never an API token.

A cookie travels by itself, so with it a state-changing request must show that it comes from our own pages
(OWASP's Fetch Metadata and Origin checks). A bearer session token has to be put in by hand and needs no such check.
"""

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import request

from sluice import settings
from sluice.domain import errors
from sluice.wiring import peers
from sluice.wiring.accounts import sessions

COOKIE = "sluice_session"
HOST_ONLY = "__Host-"  # browsers take such a cookie over https only, for this host alone, and from no neighbour of it
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Caller:
    """A logged-in person, and the session they came by."""

    account_id: str
    session_id: str
    role: str

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


def cookie_name() -> str:
    """Under it alone a session is believed: a plain name on https could be planted by a neighbouring host (ADR 64)."""
    return HOST_ONLY + COOKIE if settings.common().https else COOKIE


def require_session(admin: bool = False, leaving: bool = False) -> Caller:
    """Errors: NotAuthenticated, CrossSiteRequest, AccountSuspended, Forbidden (not an admin), StoreUnavailable."""
    session_token, from_cookie = _session_token()
    found = sessions().authenticate(session_token, now_ms(), leaving=leaving)
    if from_cookie and request.method not in SAFE_METHODS:
        require_same_origin()
    caller = Caller(found.account.account_id, found.session.session_id, found.account.role)
    if admin and not caller.is_admin:
        raise errors.Forbidden()
    return caller


def _session_token() -> tuple[str, bool]:
    """The session token, and whether a cookie brought it. An explicit header wins over what the browser adds."""
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, value = header.partition(" ")
        if scheme.lower() != "bearer" or not value.strip():
            raise errors.NotAuthenticated()
        return value.strip(), False
    cookie = request.cookies.get(cookie_name())
    if not cookie:
        raise errors.NotAuthenticated()
    return cookie, True


def require_same_origin() -> None:
    """Raises CrossSiteRequest unless the browser says that our own page asks.

    `Sec-Fetch-Site` no page's script can set; older browsers send only `Origin`, which must be the base URL's, or the
    address this very request was made to (a page cannot choose its victim's Host header). One must be there, and
    none may speak against it.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    speak = [site == "same-origin"] if site is not None else []
    speak += [_is_own(origin.lower())] if origin is not None else []
    if not speak or not all(speak):
        raise errors.CrossSiteRequest()


def _is_own(origin: str) -> bool:
    """The address asked first: only where it is another does the base URL matter, which may cost a call."""
    return origin == _origin(request.host_url) or origin == _origin(peers.base_url())


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def now_ms() -> int:
    """The one clock of the account functions' HTTP side."""
    return time.time_ns() // 1_000_000
