"""Where the pages are. Every link is made here, below the path of the base URL (a stage on AWS), never from a request.

`next` of a login is a name out of a fixed table and no address, so that it can lead nowhere else.
"""

from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

from sluice.wiring import peers

MEMBERS = "/my/"  # below it, and at /logout, pages need a session and their forms are bound to it
ADMINS = "/manage"  # the admin's: it and what is below it, of the same kind
LOGOUT = "/logout"
WITH_CODE = frozenset({"/verify-email", "/reset-password", "/change-email"})  # the links of mails
HOME_OF_MEMBERS = "tokens"
# The names that `next` may have, and what a login leads to.
PLACES = {
    "chats": "/my/chats",
    "documents": "/my/documents",
    "tokens": "/my/tokens",
    "usage": "/my/usage",
    "log": "/my/usage/log",
    "account": "/my/account",
    "manage": "/manage",
    "users": "/manage/users",
    "all-usage": "/manage/usage",
    "audit": "/manage/audit",
}
# What the JSON API answers, unknown addresses below it included: there a browser gets JSON, too.
API = ("/v1", "/auth", "/account", "/tokens", "/usage", "/chats", "/admin", "/_local", "/.well-known", "/openapi.json")


def at(path: str, **query: str | Sequence[str] | None) -> str:
    """A link to one of our own pages. Errors: Unavailable."""
    wanted = {name: value for name, value in query.items() if value}
    return urlsplit(peers.base_url()).path + path + (f"?{urlencode(wanted, doseq=True)}" if wanted else "")


def place(name: str | None) -> str:
    """The path that a name of `PLACES` stands for; for anything else, where every login leads."""
    return PLACES.get(name or "", PLACES[HOME_OF_MEMBERS])


def place_of(path: str) -> str:
    """The name to come back by after a login: of this page, or of the one it belongs to."""
    fitting = [name for name, known in PLACES.items() if path == known or path.startswith(known + "/")]
    return max(fitting, key=lambda name: len(PLACES[name]), default=HOME_OF_MEMBERS)


def is_for_members(path: str) -> bool:
    return path.startswith((MEMBERS, ADMINS + "/")) or path in (ADMINS, LOGOUT)


def is_api(path: str) -> bool:
    return any(path == root or path.startswith(root + "/") for root in API)
