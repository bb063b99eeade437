"""The current request and its notes without Flask's proxies, each use of which costs as much as ten look-ups."""

from flask import Request, g, request
from flask.ctx import _AppCtxGlobals


def here() -> tuple[Request, _AppCtxGlobals]:
    return request._get_current_object(), g._get_current_object()  # type: ignore[attr-defined]
