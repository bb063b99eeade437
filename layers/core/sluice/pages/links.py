"""The addresses of the pages. All links begin with the base URL's path (a stage on AWS), never the request's.

A login's `next` is a name from a fixed table or the id of a chat or a user, not an address, so that it cannot lead to
another site.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode, urlsplit

from sluice.domain.ids import is_id
from sluice.pages.words import later
from sluice.wiring import peers

MEMBERS = "/my/"  # below it, and at /logout, pages need a session, to which their forms are bound
ADMINS = "/manage"  # this page and those below it need a session of an admin
LOGOUT = "/logout"
SWITCH = "/language"
WITH_CODE = frozenset(
    {"/verify-email", "/reset-password", "/change-email", "/invitation"}
)  # the pages that links in mails open
HOME_OF_MEMBERS, HOME_OF_ADMINS = "chats", "manage"  # where a login leads that was asked for no page
# The possible values of `next`, and the page that each opens after the login.
PLACES = {
    "chats": "/my/chats",
    "documents": "/my/documents",
    "batches": "/my/batches",
    "tokens": "/my/tokens",
    "usage": "/my/usage",
    "log": "/my/usage/log",
    "account": "/my/account",
    "plan": "/my/plan",
    "factors": "/my/account/factors",
    "webhooks": "/my/account/webhooks",
    "link": "/my/link-sign-in",
    "manage": "/manage",
    "users": "/manage/users",
    "invitations": "/manage/invitations",
    "all-usage": "/manage/usage",
    "refusals": "/manage/refusals",
    "settings": "/manage/settings",
    "audit": "/manage/audit",
}
LOCAL_PATH = re.compile(r"(?:/[\w.-]+)*/?")  # no empty part, so no other host
WITH_ID = {"chat_": "chats", "usr_": "users"}  # pages of one thing, which its id names
Links = tuple[tuple[str, str, str], ...]  # each a path, its text and its icon (templates/icons.html)
# The groups of the menu, each with its title.
PUBLIC: Links = (
    ("/docs", later("API reference"), "book"),
    ("/login", later("Log in"), "user"),
    ("/sign-up", later("Sign up"), "new"),
)
AT_HOME: Links = (
    ("/my/chats", later("Chat"), "chat"),
    ("/my/tokens", later("API tokens"), "key"),
    ("/docs", later("API reference"), "book"),
)
OF_MEMBERS: tuple[tuple[str, Links], ...] = (
    (later("Playground"), (("/my/chats", later("Chat"), "chat"), ("/my/documents", later("Documents"), "document"))),
    (
        later("API"),
        (
            ("/my/tokens", later("API tokens"), "key"),
            ("/my/batches", later("Batches"), "list"),
            ("/my/usage", later("Usage"), "usage"),
            ("/my/usage/log", later("Request log"), "list"),
            ("/docs", later("API reference"), "book"),
        ),
    ),
)
OF_ADMINS: Links = (
    ("/manage", later("Overview"), "admin"),
    ("/manage/users", later("Users"), "users"),
    ("/manage/usage", later("All usage"), "usage"),
    ("/manage/refusals", later("Refusals"), "refused"),
    ("/manage/settings", later("Settings"), "settings"),
    ("/manage/audit", later("Audit log"), "audit"),
)
YOURS: Links = (("/my/plan", later("Plan"), "usage"), ("/my/account", later("Account"), "user"))
# The JSON API's addresses. Unknown addresses below them are answered with JSON, also to a browser.
API = (
    "/v1",
    "/auth",
    "/account",
    "/tokens",
    "/webhooks",
    "/usage",
    "/chats",
    "/payments",
    "/admin",
    "/_local",
    "/.well-known",
    "/openapi.json",
)


def at(path: str, **query: str | Sequence[str] | None) -> str:
    """A link to one of our pages. Errors: Unavailable when the base URL cannot be read."""
    wanted = {name: value for name, value in query.items() if value}
    return urlsplit(peers.base_url()).path + path + (f"?{urlencode(wanted, doseq=True)}" if wanted else "")


def navigation(
    *, member: bool, admin: bool, inside: bool, open_to_all: bool, sells: bool
) -> tuple[tuple[str, Links], ...]:
    """The groups of the menu, in order: title and links. `inside`: the page is for members. `open_to_all`: one may sign
    up. `sells`: plans are paid for here."""
    if not (member and inside):
        return (("", AT_HOME if member else PUBLIC if open_to_all else PUBLIC[:-1]),)
    return (*OF_MEMBERS, *(((later("Admin"), OF_ADMINS),) if admin else ()), ("", YOURS if sells else YOURS[1:]))


def place(name: str | None, *, admin: bool = False) -> str:
    """The path of a name in `PLACES`, or of a chat or a user by its id. For any other name, this person's first."""
    for prefix, within in WITH_ID.items():
        if name and is_id(prefix, name):
            return f"{PLACES[within]}/{name}"
    return PLACES.get(name or "", PLACES[HOME_OF_ADMINS if admin else HOME_OF_MEMBERS])


def is_place(name: str) -> bool:
    return name in PLACES or any(is_id(prefix, name) for prefix in WITH_ID)


def place_of(path: str) -> str:
    """The `next` that leads back to this page after a login, or to the page that it belongs to."""
    for prefix, within in WITH_ID.items():
        one = path.removeprefix(PLACES[within] + "/").partition("/")[0]
        if is_id(prefix, one):
            return one
    fitting = [name for name, known in PLACES.items() if path == known or path.startswith(known + "/")]
    return max(fitting, key=lambda name: len(PLACES[name]), default=HOME_OF_MEMBERS)


def back(wanted: str) -> str:
    """The address within this site that `wanted` names; the start page if it names none."""
    parts = urlsplit(wanted)
    is_local = not parts.scheme and not parts.netloc and LOCAL_PATH.fullmatch(parts.path)
    return parts.path + (f"?{parts.query}" if parts.query else "") if is_local and parts.path else "/"


def here(path: str, query: Mapping[str, str]) -> str:
    """The address of the page that is shown, without what a stranger may have put into a link to it."""
    kept = {
        name: text
        for name, text in query.items()
        if is_for_members(path) or name == "note" or (name == "next" and is_place(text))
    }
    return path + (f"?{urlencode(kept)}" if kept else "")


def before(path: str) -> str:
    """The page whose form was sent to this address."""
    return place(place_of(path)) if is_for_members(path) else path


def is_for_members(path: str) -> bool:
    return path.startswith((MEMBERS, ADMINS + "/")) or path in (ADMINS, LOGOUT)


def is_api(path: str) -> bool:
    return any(path == root or path.startswith(root + "/") for root in API)
