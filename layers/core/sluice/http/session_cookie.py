"""The cookie that keeps a person logged in, set by the JSON API and by the pages alike."""

from werkzeug.wrappers import Response

from sluice import settings
from sluice.http.auth import cookie_name


def set_session_cookie(response: Response, session_token: str, max_age_seconds: int) -> None:
    """With an empty token and age 0 the browser forgets it."""
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
        # Pages are never cached and keep nothing in the browser; should one come to, it goes with the session.
        response.headers["Clear-Site-Data"] = '"storage"'
