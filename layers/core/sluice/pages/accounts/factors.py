"""Two-step login: the member's pages to set up, remove and show second factors. None of those with a script has a
password field (ADR 60)."""

from typing import Any

from flask import Response, request
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.domain.accounts.account import Account
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller, now_ms
from sluice.pages import forms, links
from sluice.pages.accounts.second_step import SCRIPTS, passkey_place, posted_credential, posted_proof
from sluice.pages.blueprints import members, members_before_terms, pages
from sluice.pages.render import page, see
from sluice.pages.words import _, later
from sluice.wiring import peers
from sluice.wiring.accounts import own_factors
from sluice.wiring.settings import sign_in_providers

blueprint = pages("two_step")
HERE = "/my/account/factors"
NOTES = {
    "added": later("Added. From now on a login asks for it, or for another of your ways."),
    "removed": later("Removed."),
    "again": later("That set-up took too long, or was finished already. Begin again."),
    "full": later("You have as many ways as an account may have. Remove one first."),
}


@blueprint.get(HERE)
@members
def factors(caller: Caller) -> Response:
    return _page(caller, 200, request.args.get("note", ""))


def _page(caller: Caller, status: int, note: str) -> Response:
    account = own_factors().account(caller.account_id)
    held = sorted(account.factors.values(), key=lambda one: (one.created_ms, one.factor_id))
    has_passkeys = peers.passkeys().origin() is not None
    shown: dict[str, Any] = {
        "account": account,
        "held": held,
        "passkeys": has_passkeys,
        "note": _(NOTES[note]) if note in NOTES else "",
    }
    return page("factors.html", status, **shown)


# --- an authenticator app


@blueprint.post(HERE + "/app")
@members
def begin_app(caller: Caller) -> AnyResponse:
    caller.require_fresh()
    try:
        own_factors().begin_app(caller.account_id, caller.session_id, now_ms())
    except errors.Conflict:
        return see(HERE, note="full")
    return see(HERE + "/app")


@blueprint.get(HERE + "/app")
@members
def app(caller: Caller) -> AnyResponse:
    return _app_page(caller, 200, forms.Form())


@blueprint.post(HERE + "/app/confirm")
@members
def confirm_app(caller: Caller) -> AnyResponse:
    caller.require_fresh()
    name, code = request.form.get("name", ""), request.form.get("code", "")[:64]
    try:
        codes = own_factors().confirm_app(caller.account_id, caller.session_id, code, name, visitor())
    except errors.ValidationFailed as exc:
        return _app_page(caller, *forms.refused(exc, "code"))
    except errors.Conflict:
        return see(HERE, note="again")
    return _shown_once(codes)


def _app_page(caller: Caller, status: int, form: forms.Form) -> AnyResponse:
    caller.require_fresh()
    try:
        begun = own_factors().begun_app(caller.account_id, caller.session_id, now_ms())
    except errors.Conflict:
        return _page(caller, 409, "again")
    return page("factors_app.html", status, form=form, secret=begun.secret, picture=_qr_code(begun.url))


def _qr_code(url: str) -> Markup:
    """As a part of the page, because a picture of its own would be one more address that knows the secret."""
    import segno

    made = segno.make(url, micro=False).svg_inline(scale=4, border=4, dark="#000", light="#fff", omitsize=True)
    return Markup(made.replace("<svg ", '<svg aria-hidden="true" ', 1))  # noqa: S704 (it holds numbers only)


# --- passkeys


@blueprint.get(HERE + "/passkey")
@members
def passkey(caller: Caller) -> AnyResponse:
    return _passkey_page(caller, 200, forms.Form())


@blueprint.post(HERE + "/passkey")
@members
def add_passkey(caller: Caller) -> AnyResponse:
    caller.require_fresh()
    try:
        credential = posted_credential(request.form.get("credential", ""))
        codes = own_factors().add_passkey(
            caller.account_id, caller.session_id, credential, request.form.get("name", ""), visitor()
        )
    except (errors.ValidationFailed, errors.InvalidCredentials) as exc:
        return _passkey_page(caller, *forms.refused(exc, "name"))
    except errors.Conflict:
        return see(HERE, note="again")
    return _shown_once(codes)


def _passkey_page(caller: Caller, status: int, form: forms.Form) -> AnyResponse:
    caller.require_fresh()
    try:
        options = own_factors().passkey_options(caller.account_id, caller.session_id, now_ms())
    except errors.Conflict:
        return see(HERE, note="full")
    except errors.InvalidCredentials:
        raise errors.NotFound() from None  # this site has no passkeys, and no link leads here
    elsewhere = passkey_place()
    return page("factors_passkey.html", status, scripts=SCRIPTS, form=form, options=options, elsewhere=elsewhere)


# --- recovery codes, and the end of a factor


@blueprint.post(HERE + "/codes")
@members
def renew_codes(caller: Caller) -> AnyResponse:
    caller.require_fresh()
    return _shown_once(own_factors().renew_codes(caller.account_id, visitor()))


def _shown_once(codes: list[str]) -> AnyResponse:
    """The answer to the form itself, so that the codes are stored nowhere."""
    return page("recovery_codes.html", scripts=("copy.js",), codes=codes) if codes else see(HERE, note="added")


@blueprint.get(HERE + "/<factor_id>/remove")
@members
def remove_form(caller: Caller, factor_id: str) -> Response:
    return _remove_page(own_factors().account(caller.account_id), factor_id, 200, forms.Form())


@blueprint.post(HERE + "/<factor_id>/remove")
@members
def remove(caller: Caller, factor_id: str) -> AnyResponse:
    try:
        own_factors().remove(caller.account_id, caller.session_id, factor_id, posted_proof(), visitor())
    except (errors.InvalidCredentials, errors.ValidationFailed) as exc:
        account = own_factors().account(caller.account_id)
        return _remove_page(account, factor_id, *forms.refused(exc, "password"))
    return see(HERE, note="removed")


def _remove_page(account: Account, factor_id: str, status: int, form: forms.Form) -> Response:
    if factor_id not in account.factors:
        raise errors.NotFound()
    return page("factors_remove.html", status, form=form, account=account, factor=account.factors[factor_id])


# --- show one again


@blueprint.get("/my/confirm")
@members_before_terms
def confirm_form(caller: Caller) -> Response:
    return _confirm_page(caller, 200, forms.Form())


@blueprint.post("/my/confirm")
@members_before_terms
def confirm(caller: Caller) -> AnyResponse:
    try:
        own_factors().confirm(caller.account_id, caller.session_id, posted_proof(), visitor())
    except (errors.InvalidCredentials, errors.ValidationFailed) as exc:
        return _confirm_page(caller, *forms.refused(exc, "code" if caller.has_factor else "password"))
    return see(links.place(request.form.get("next"), admin=caller.is_admin))


def _confirm_page(caller: Caller, status: int, form: forms.Form) -> Response:
    wanted = request.values.get("next", "")
    options = own_factors().question(caller.account_id, caller.session_id, now_ms()) if caller.has_factor else None
    account = own_factors().account(caller.account_id)
    linked = () if caller.has_factor else {one.provider for one in account.identities.values()}
    return page(
        "confirm.html",
        status,
        scripts=SCRIPTS if options else (),
        form=form,
        has_factor=caller.has_factor,
        has_password=bool(account.password_hash),
        providers=[one for one in sign_in_providers() if one.name in linked],
        options=options,
        elsewhere=passkey_place() if options else "",
        next=wanted if links.is_place(wanted) else "",
    )
