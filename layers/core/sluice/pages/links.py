"""The addresses of the pages. All links begin with the base URL's path (a stage on AWS), never the request's.

A login's `next` is a name from a fixed table or the id of a chat, not an address, so that it cannot lead to another
site.
"""

from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

from sluice.domain.ids import is_id
from sluice.wiring import peers

MEMBERS = "/my/"  # below it, and at /logout, pages need a session, to which their forms are bound
ADMINS = "/manage"  # this page and those below it need a session of an admin
LOGOUT = "/logout"
WITH_CODE = frozenset({"/verify-email", "/reset-password", "/change-email"})  # the pages that links in mails open
HOME_OF_MEMBERS, HOME_OF_ADMINS = "chats", "manage"  # where a login leads that was asked for no page
# The possible values of `next`, and the page that each opens after the login.
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
    "refusals": "/manage/refusals",
    "settings": "/manage/settings",
    "audit": "/manage/audit",
}
Links = tuple[tuple[str, str, str], ...]  # each a path, its text and its icon (templates/icons.html)
# The groups of the menu, each with its title.
PUBLIC: Links = (("/docs", "API reference", "book"), ("/login", "Log in", "user"), ("/sign-up", "Sign up", "new"))
AT_HOME: Links = (
    ("/my/chats", "Chat", "chat"),
    ("/my/tokens", "API tokens", "key"),
    ("/docs", "API reference", "book"),
)
OF_MEMBERS: tuple[tuple[str, Links], ...] = (
    ("Playground", (("/my/chats", "Chat", "chat"), ("/my/documents", "Documents", "document"))),
    (
        "API",
        (
            ("/my/tokens", "API tokens", "key"),
            ("/my/usage", "Usage", "usage"),
            ("/my/usage/log", "Request log", "list"),
            ("/docs", "API reference", "book"),
        ),
    ),
)
OF_ADMINS: Links = (
    ("/manage", "Overview", "admin"),
    ("/manage/users", "Users", "users"),
    ("/manage/usage", "All usage", "usage"),
    ("/manage/refusals", "Refusals", "refused"),
    ("/manage/settings", "Settings", "settings"),
    ("/manage/audit", "Audit log", "audit"),
)
YOURS: Links = (("/my/account", "Account", "user"),)
# The JSON API's addresses. Unknown addresses below them are answered with JSON, also to a browser.
API = ("/v1", "/auth", "/account", "/tokens", "/usage", "/chats", "/admin", "/_local", "/.well-known", "/openapi.json")


def at(path: str, **query: str | Sequence[str] | None) -> str:
    """A link to one of our pages. Errors: Unavailable when the base URL cannot be read."""
    wanted = {name: value for name, value in query.items() if value}
    return urlsplit(peers.base_url()).path + path + (f"?{urlencode(wanted, doseq=True)}" if wanted else "")


def navigation(*, member: bool, admin: bool, inside: bool, open_to_all: bool) -> tuple[tuple[str, Links], ...]:
    """The groups of the menu, in order: title and links. `inside`: the page is for members. `open_to_all`: one may sign
    up."""
    if not (member and inside):
        return (("", AT_HOME if member else PUBLIC if open_to_all else PUBLIC[:-1]),)
    return (*OF_MEMBERS, *((("Admin", OF_ADMINS),) if admin else ()), ("", YOURS))


def place(name: str | None, *, admin: bool = False) -> str:
    """The path of a name in `PLACES`, or of a chat by its id. For any other name, the first page of this person."""
    if name and is_id("chat_", name):
        return f"{PLACES['chats']}/{name}"
    return PLACES.get(name or "", PLACES[HOME_OF_ADMINS if admin else HOME_OF_MEMBERS])


def is_place(name: str) -> bool:
    return name in PLACES or is_id("chat_", name)


def place_of(path: str) -> str:
    """The `next` that leads back to this page after a login, or to the page that it belongs to."""
    chat_id = path.removeprefix(PLACES["chats"] + "/").partition("/")[0]
    if is_id("chat_", chat_id):
        return chat_id
    fitting = [name for name, known in PLACES.items() if path == known or path.startswith(known + "/")]
    return max(fitting, key=lambda name: len(PLACES[name]), default=HOME_OF_MEMBERS)


def is_for_members(path: str) -> bool:
    return path.startswith((MEMBERS, ADMINS + "/")) or path in (ADMINS, LOGOUT)


def is_api(path: str) -> bool:
    return any(path == root or path.startswith(root + "/") for root in API)
