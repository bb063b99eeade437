"""Blueprints of pages, which check forms before each view and show errors as pages."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Blueprint, g

from sluice.http.auth import Caller, require_session
from sluice.pages import errors, forms


def pages(name: str) -> Blueprint:
    """A blueprint that checks forms itself, so that no view can forget it."""
    made = Blueprint(name, __name__)
    made.before_request(forms.check)
    errors.install(made)
    return made


def members(view: Callable[..., Any]) -> Callable[..., Any]:
    """Passes `caller` to the view. Without a session it redirects to the login, which leads back. Errors:
    AccountSuspended, StoreUnavailable."""
    return _with_caller(view)


def leaving_members(view: Callable[..., Any]) -> Callable[..., Any]:
    """As `members`, but also for accounts being deleted, so that an interrupted deletion can be continued."""
    return _with_caller(view, leaving=True)


def members_before_terms(view: Callable[..., Any]) -> Callable[..., Any]:
    """As `members`, but also before the terms of use are accepted."""
    return _with_caller(view, before_terms=True)


def admins(view: Callable[..., Any]) -> Callable[..., Any]:
    """As `members`, for accounts whose role is admin at this moment; other accounts get a page with status 403."""
    return _with_caller(view, admin=True)


def _with_caller(
    view: Callable[..., Any], *, leaving: bool = False, admin: bool = False, before_terms: bool = False
) -> Callable[..., Any]:
    @wraps(view)
    def checked(**arguments: Any) -> Any:
        caller: Caller = require_session(admin, leaving, before_terms)
        g.page_caller = caller  # for the page header and its language
        g.pop("language", None)
        return view(caller=caller, **arguments)

    return checked
