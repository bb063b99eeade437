"""The user's account page: profile, password, address, sessions, and deletion."""

from contextlib import suppress
from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.domain.accounts.identities import may_unlink
from sluice.domain.accounts.user_agents import device
from sluice.http.accounts.requests import ChangeEmailBody, ChangePasswordBody, DeleteAccountBody, UpdateAccountBody
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller, now_ms
from sluice.http.operation import validated
from sluice.http.session_cookie import without_session
from sluice.pages import forms, links
from sluice.pages.accounts.webhooks import ABOUT
from sluice.pages.blueprints import leaving_members, members, members_before_terms, pages
from sluice.pages.render import page, see
from sluice.pages.words import later, noted
from sluice.wiring.accounts import deletion, email_change, passwords, profile, sessions
from sluice.wiring.settings import sign_in_providers

blueprint = pages("account")
NOTES = {
    "profile": later("Saved."),
    "password": later("Your password is changed. Every other device was logged out."),
    "email": later("Check your email: we sent a link to the new address. The old one stays until you follow it."),
    "others": later("Every other device is logged out."),
    "linked": later("Linked. From now on it logs you in."),
    "unlinked": later("Unlinked. It no longer logs you in."),
    "ended": later("The device is logged out."),
}


@blueprint.get("/my/account")
@members
def account(caller: Caller) -> Response:
    return _account_page(caller, 200, forms.Form(), noted(NOTES))


@blueprint.post("/my/account/profile")
@members_before_terms
def update_profile(caller: Caller) -> AnyResponse:
    if "terms" in request.form:
        return _accept_terms(caller, request.form["terms"])
    given: dict[str, Any] = {"name": request.form.get("name", ""), "language": request.form.get("language")}
    given["store_content"] = "store_content" in request.form
    if "chooses_mails" in request.form:  # a form of before this version has none of these boxes
        given["mails"] = request.form.getlist("mails")
    try:
        wanted = validated(UpdateAccountBody, given)
        changes = wanted.name, wanted.store_content, now_ms(), wanted.language
        profile().update(caller.account_id, *changes, mails=wanted.mails)
    except errors.ValidationFailed as exc:
        return _account_page(caller, *forms.refused(exc, "name"))
    return see("/my/account", note="profile")


def _accept_terms(caller: Caller, version: str) -> AnyResponse:
    """Where they have changed since they were shown, the page that follows shows the new ones."""
    with suppress(errors.Conflict):
        profile().update(caller.account_id, None, None, now_ms(), terms=version)
    return see(links.place(request.form.get("next")))


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
        email_change().request(caller.account_id, body.new_email, body.password, visitor(), is_fresh=caller.is_fresh)
    except (errors.ValidationFailed, errors.InvalidCredentials) as exc:
        return _account_page(caller, *forms.refused(exc, "password"))
    return see("/my/account", note="email")


@blueprint.get("/my/account/delete")
@leaving_members
def delete_form(caller: Caller) -> Response:
    return _delete_page(caller, 200, forms.Form())


@blueprint.post("/my/account/delete")
@leaving_members
def delete(caller: Caller) -> AnyResponse:
    try:
        body = forms.posted(DeleteAccountBody)
        deletion().delete(caller.account_id, caller.session_id, body.password, now_ms(), is_fresh=caller.is_fresh)
    except errors.InvalidCredentials as exc:
        return _delete_page(caller, *forms.refused(exc, "password"))
    return without_session(see("/login", note="deleted"))


def _delete_page(caller: Caller, status: int, form: forms.Form) -> Response:
    has_password = bool(profile().account(caller.account_id).password_hash)
    return page("delete_account.html", status, form=form, has_password=has_password)


@blueprint.post("/my/account/sessions/<session_id>/end")
@members
def end_one_session(caller: Caller, session_id: str) -> AnyResponse:
    sessions().end(caller.account_id, session_id)
    if session_id != caller.session_id:
        return see("/my/account", note="ended")
    return without_session(see("/login", note="ended"))


@blueprint.post("/my/account/end-other-sessions")
@members
def end_other_sessions(caller: Caller) -> AnyResponse:
    passwords().end_other_sessions(caller.account_id, caller.session_id, visitor())
    return see("/my/account", note="others")


def _account_page(caller: Caller, status: int, form: forms.Form, note: str = "") -> Response:
    found = profile().overview(caller.account_id, now_ms())
    account = found.account
    shown: dict[str, Any] = {
        "found": found,
        "account": account,
        "profile": forms.Form({"name": account.name}),
        "identities": sorted(account.identities.values(), key=lambda one: (one.created_ms, one.identity_id)),
        "titles": {one.name: one.title for one in sign_in_providers()},
        "may_unlink": may_unlink(account),
        "sessions": [(one, device(one.user_agent)) for one in sessions().current(caller.account_id, now_ms())],
        "current_id": caller.session_id,
        "events": ABOUT,
    }
    return page("account.html", status, form=form, note=note, **shown)
