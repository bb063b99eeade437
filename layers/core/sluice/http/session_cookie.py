"""The cookie that keeps a person logged in. The JSON API and the pages both set it."""

from werkzeug.wrappers import Response

from sluice import settings
from sluice.http.auth import cookie_name


def set_session_cookie(response: Response, session_token: str, max_age_seconds: int) -> None:
    """An empty token with age 0 makes the browser delete the cookie."""
    response.set_cookie(
        cookie_name(),
        session_token,
        max_age=max_age_seconds,
        path="/",
        secure=settings.common().https,
        httponly=True,
        samesite="Lax",
    )
    if not session_token:
        # Pages store nothing in the browser today. If one ever does, this clears it with the session.
        response.headers["Clear-Site-Data"] = '"storage"'
