"""The user's account page: profile, password, address, sessions, and deletion."""

from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.domain.accounts.user_agents import device
from sluice.http.accounts.requests import ChangeEmailBody, ChangePasswordBody, DeleteAccountBody, UpdateAccountBody
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller, now_ms
from sluice.http.operation import validated
from sluice.http.session_cookie import without_session
from sluice.pages import forms
from sluice.pages.blueprints import leaving_members, members, pages
from sluice.pages.render import page, see
from sluice.wiring.accounts import deletion, email_change, passwords, profile, sessions

blueprint = pages("account")
NOTES = {
    "profile": "Saved.",
    "password": "Your password is changed. Every other device was logged out.",
    "email": "Check your email: we sent a link to the new address. The old one stays until you follow it.",
    "ended": "The device is logged out.",
}


@blueprint.get("/my/account")
@members
def account(caller: Caller) -> Response:
    return _account_page(caller, 200, forms.Form(), NOTES.get(request.args.get("note", ""), ""))


@blueprint.post("/my/account/profile")
@members
def update_profile(caller: Caller) -> AnyResponse:
    given = {"name": request.form.get("name", ""), "store_content": "store_content" in request.form}
    try:
        wanted = validated(UpdateAccountBody, given)
        profile().update(caller.account_id, wanted.name, wanted.store_content, now_ms())
    except errors.ValidationFailed as exc:
        return _account_page(caller, *forms.refused(exc, "name"))
    return see("/my/account", note="profile")


@blueprint.post("/my/account/password")
@members
def change_password(caller: Caller) -> AnyResponse:
    try:
        body = forms.posted(ChangePasswordBody)
        passwords().change(caller.account_id, caller.session_id, body.current_password, body.new_password, visitor())
    except (errors.ValidationFailed, errors.InvalidCredentials, errors.Conflict) as exc:
        return _account_page(caller, *forms.refused(exc, "current_password"))
    return see("/my/account", note="password")


@blueprint.post("/my/account/email")
@members
def change_email(caller: Caller) -> AnyResponse:
    try:
        body = forms.posted(ChangeEmailBody)
        email_change().request(caller.account_id, body.new_email, body.password, visitor())
    except (errors.ValidationFailed, errors.InvalidCredentials) as exc:
        return _account_page(caller, *forms.refused(exc, "password"))
    return see("/my/account", note="email")


@blueprint.get("/my/account/delete")
@leaving_members
def delete_form(caller: Caller) -> Response:
    return page("delete_account.html")


@blueprint.post("/my/account/delete")
@leaving_members
def delete(caller: Caller) -> AnyResponse:
    try:
        body = forms.posted(DeleteAccountBody)
        deletion().delete(caller.account_id, caller.session_id, body.password, now_ms())
    except errors.InvalidCredentials as exc:
        status, form = forms.refused(exc, "password")
        return page("delete_account.html", status, form=form)
    return without_session(see("/login", note="deleted"))


@blueprint.post("/my/account/sessions/<session_id>/end")
@members
def end_one_session(caller: Caller, session_id: str) -> AnyResponse:
    sessions().end(caller.account_id, session_id)
    if session_id != caller.session_id:
        return see("/my/account", note="ended")
    return without_session(see("/login", note="ended"))


def _account_page(caller: Caller, status: int, form: forms.Form, note: str = "") -> Response:
    found = profile().overview(caller.account_id, now_ms())
    account = found.account
    shown: dict[str, Any] = {
        "found": found,
        "account": account,
        "profile": forms.Form({"name": account.name}),
        "sessions": [(one, device(one.user_agent)) for one in sessions().current(caller.account_id, now_ms())],
        "current_id": caller.session_id,
    }
    return page("account.html", status, form=form, note=note, **shown)
