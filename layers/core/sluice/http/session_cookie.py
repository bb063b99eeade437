"""The cookie that keeps a person logged in. The JSON API and the pages both set it."""

from typing import TypeVar

from werkzeug.wrappers import Response

from sluice import settings
from sluice.http.auth import cookie_name

Answer = TypeVar("Answer", bound=Response)


def with_session(response: Answer, session_token: str) -> Answer:
    """The browser keeps the cookie as long as the session may last."""
    return _with_cookie(response, session_token, settings.accounts().session_hours * 3600)


def without_session(response: Answer) -> Answer:
    """The browser deletes the cookie."""
    # Pages store nothing in the browser today. If one ever does, this clears it with the session.
    response.headers["Clear-Site-Data"] = '"storage"'
    return _with_cookie(response, "", 0)


def _with_cookie(response: Answer, value: str, max_age: int) -> Answer:
    https = settings.common().https
    response.set_cookie(cookie_name(), value, max_age=max_age, path="/", secure=https, httponly=True, samesite="Lax")
    return response
