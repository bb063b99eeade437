"""Forms: protection against cross-site requests, the submitted values, and their errors.

Every POST passes two checks, so that one may fail: the browser states that our own page sends it (`Sec-Fetch-Site`,
`Origin`), and the form holds a token that only a page shown to this browser can know. The token is an HMAC. Its key is
a secret in one of this browser's cookies: on members' pages the session token, elsewhere a random cookie made for this.
So no function needs another server key, and a new session (a login, a new password) invalidates all older forms. The
cookie is HttpOnly, and on https it has the prefix `__Host-`, so that a sibling domain cannot set it.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from binascii import a2b_qp
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from flask import g, request
from pydantic import BaseModel

from sluice import settings
from sluice.domain.errors import (
    CrossSiteRequest,
    FieldProblem,
    InvalidJson,
    NotAuthenticated,
    RequestTooLarge,
    SluiceError,
    UnsupportedMediaType,
)
from sluice.http.auth import HOST_ONLY, require_same_origin
from sluice.http.auth import cookie_name as session_cookie_name
from sluice.http.errors import row_for
from sluice.http.operation import validated
from sluice.pages import links
from sluice.pages.words import _, later, worded

Model = TypeVar("Model", bound=BaseModel)
CONTEXT = b"sluice form 1"
FIELD = "form_token"
# Rules of forms that send a file.
WITH_FILE = {"/my/documents", "/my/chats/files", "/my/chats/import", "/my/chats/<chat_id>/files"}
URLENCODED = "application/x-www-form-urlencoded"
MAX_FIELDS = 200
MAX_ESCAPES = 80_000
SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
UNKNOWN_FORM = later("This form is too old, or was not made by this site for this browser.")
NEVER_SHOWN_AGAIN = frozenset({"password", "current_password", "new_password", FIELD})


@dataclass(frozen=True)
class Form:
    """The values of a form's fields, and their problems."""

    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    problems: tuple[FieldProblem, ...] = ()

    def problem(self, name: str) -> str:
        return next((worded(problem.message) for problem in self.problems if problem.field.split(".")[0] == name), "")

    def with_problems(self, problems: Sequence[FieldProblem]) -> "Form":
        return Form(self.values, self.lists, tuple(problems))


def filled() -> Form:
    """The submitted values without passwords, to be shown again."""
    shown = {name: text for name, text in request.form.items() if name not in NEVER_SHOWN_AGAIN}
    return Form(shown, {name: request.form.getlist(name) for name in shown})


def refused(error: SluiceError, field: str) -> tuple[int, Form]:
    """The status of an error, and the submitted values with its problems. An error without a field is of `field`."""
    problems = getattr(error, "problems", ()) or (FieldProblem(field, error.message),)
    return row_for(type(error)).status, filled().with_problems(problems)


def posted(model: type[Model], *, lists: Sequence[str] = ()) -> Model:
    """The form as the JSON API's model. Errors: ValidationFailed, RequestTooLarge."""
    values: dict[str, str | list[str]] = {name: text for name, text in request.form.items() if name != FIELD}
    return validated(model, {**values, **{name: request.form.getlist(name) for name in lists}})


def cookie_name() -> str:
    return HOST_ONLY + "sluice_form" if settings.common().https else "sluice_form"


def token() -> str:
    """The token of the form being rendered. A browser without the cookie gets it with the page."""
    return _token_for(_session() if links.is_for_members(request.path) else _cookie() or _new_cookie())


def has_file() -> bool:
    """Whether the form of this request may have one."""
    return request.method == "POST" and request.url_rule is not None and request.url_rule.rule in WITH_FILE


def check() -> None:
    """Runs before each request to a page. Errors: CrossSiteRequest, RequestTooLarge, InvalidJson (no UTF-8),
    UnsupportedMediaType, NotAuthenticated (no session cookie)."""
    if request.method != "POST":
        return
    _require_our_page()
    if request.mimetype == "multipart/form-data" and not has_file():
        raise UnsupportedMediaType("This form has no file.")  # werkzeug would write one to a temporary file
    if request.mimetype == URLENCODED:
        _require_few_fields(request.get_data())
    if request.path == links.SWITCH:
        return  # it stands on pages of both kinds, and on those that set no cookie; a stranger gains nothing by it
    is_members = links.is_for_members(request.path)
    secret = _session() if is_members else _cookie()
    if is_members and not secret:
        raise NotAuthenticated()
    if not secret or not hmac.compare_digest(request.form.get(FIELD, "").encode(), _token_for(secret).encode()):
        raise CrossSiteRequest(_(UNKNOWN_FORM))


def _require_our_page() -> None:
    """Pages with a mailed code in their address forbid referrers, and then the browser sends `Origin: null`. Foreign
    sites can do this too, so then `Sec-Fetch-Site` must agree or be absent (old browsers), and the token decides."""
    if request.headers.get("Origin") == "null" and request.path in links.WITH_CODE:
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise CrossSiteRequest()
        return
    require_same_origin()


def _require_few_fields(form: bytes) -> None:
    """Before werkzeug parses it, which takes 40 ms for many fields and 200 ms for many escapes that are not UTF-8. The
    decoder of another format with escapes does this check within a few milliseconds. It reads a `%` that begins no
    escape in another way than werkzeug, and no browser sends one."""
    if form.count(b"&") > MAX_FIELDS or form.count(b"%") > MAX_ESCAPES:
        raise RequestTooLarge(f"A form may have {MAX_FIELDS} fields and {MAX_ESCAPES:,} escaped bytes at most.")
    if NO_ESCAPE.search(form):
        raise InvalidJson("The form has a % that begins no escape.")
    try:
        a2b_qp(form.replace(b"=", b"+").replace(b"%", b"=")).decode()
    except UnicodeDecodeError as exc:
        raise InvalidJson("The form is not UTF-8.") from exc


def _token_for(secret: str) -> str:
    return urlsafe_b64encode(hmac.digest(secret.encode(), CONTEXT, hashlib.sha256)).rstrip(b"=").decode()


def _session() -> str:
    return request.cookies.get(session_cookie_name(), "")


def _cookie() -> str:
    sent = request.cookies.get(cookie_name(), "")
    return sent if SECRET.fullmatch(sent) else ""


def _new_cookie() -> str:
    if "new_form_cookie" not in g:
        g.new_form_cookie = secrets.token_urlsafe(32)
    return str(g.new_form_cookie)
