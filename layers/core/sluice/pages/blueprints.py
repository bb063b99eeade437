"""Blueprints of pages: each checks its forms before any view, and shows its errors as pages."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Blueprint, g

from sluice.http.auth import Caller, require_session
from sluice.pages import errors, forms


def pages(name: str) -> Blueprint:
    """No view below it can forget the check of forms."""
    made = Blueprint(name, __name__)
    made.before_request(forms.check)
    errors.install(made)
    return made


def members(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view gets `caller`. Without a session: to the login, and back. Errors: AccountSuspended, StoreUnavailable."""
    return _with_caller(view)


def leaving_members(view: Callable[..., Any]) -> Callable[..., Any]:
    """Also whose account is being deleted, so that a deletion that broke off can be gone on with."""
    return _with_caller(view, leaving=True)


def admins(view: Callable[..., Any]) -> Callable[..., Any]:
    """Members whose role, read now, is admin; everyone else who is logged in gets the page that says so (403)."""
    return _with_caller(view, admin=True)


def _with_caller(view: Callable[..., Any], *, leaving: bool = False, admin: bool = False) -> Callable[..., Any]:
    @wraps(view)
    def checked(**arguments: Any) -> Any:
        caller: Caller = require_session(admin=admin, leaving=leaving)
        g.page_caller = caller  # for what the header shows
        return view(caller=caller, **arguments)

    return checked
