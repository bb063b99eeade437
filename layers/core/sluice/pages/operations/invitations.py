"""The admin's page of invitations: invite by mail, send one again, withdraw it."""

from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.http.accounts.visitor import visitor
from sluice.http.admin import actor, checked_user_id
from sluice.http.auth import Caller, now_ms
from sluice.http.invitations import InvitationsQuery, InviteBody
from sluice.http.operation import validated
from sluice.pages import forms
from sluice.pages.blueprints import admins, pages
from sluice.pages.render import page, see
from sluice.pages.words import _
from sluice.wiring.operations import all_users, invitations
from sluice.wiring.settings import terms

blueprint = pages("manage_invitations")


@blueprint.get("/manage/invitations")
@admins
def open_invitations(caller: Caller) -> Response:
    notes = {
        "sent": _("The invitation is on its way."),
        "again": _("A new link is on its way. Earlier ones no longer work."),
        "withdrawn": _("The invitation is withdrawn, and its link no longer works."),
    }
    return _shown(200, forms.Form(), notes.get(request.args.get("note", ""), ""))


@blueprint.post("/manage/invitations")
@admins
def invite(caller: Caller) -> AnyResponse:
    try:
        body = forms.posted(InviteBody)
        invitations().invite(actor(caller), body.email.strip(), body.plan or "", visitor())
    except (errors.ValidationFailed, errors.Conflict, errors.TooManyAttempts) as exc:
        return _shown(*forms.refused(exc, "email"))
    return see("/manage/invitations", note="sent")


@blueprint.post("/manage/invitations/<user_id>/resend")
@admins
def resend(caller: Caller, user_id: str) -> AnyResponse:
    try:
        invitations().resend(actor(caller), checked_user_id(user_id), visitor())
    except (errors.Conflict, errors.TooManyAttempts) as exc:
        return _shown(*forms.refused(exc, "email"))
    return see("/manage/invitations", note="again")


@blueprint.post("/manage/invitations/<user_id>/withdraw")
@admins
def withdraw(caller: Caller, user_id: str) -> AnyResponse:
    invitations().withdraw(actor(caller), checked_user_id(user_id), now_ms())
    return see("/manage/invitations", note="withdrawn")


def _shown(status: int, form: forms.Form, note: str = "") -> Response:
    asked = validated(InvitationsQuery, request.args.to_dict())
    found = invitations().page(now_ms(), limit=asked.limit, after=asked.cursor or None)
    rows = sorted(
        ((one.account_id, one.invitation) for one in found.users if one.invitation is not None),
        key=lambda row: row[1].created_ms,
        reverse=True,
    )
    people = all_users().emails(invitation.by for _, invitation in rows)
    known = terms()
    shown: dict[str, Any] = {"rows": rows, "people": people, "plans": list(known.plans)}
    shown |= {"default_plan": known.default_plan, "found": found, "asked": asked}
    return page("manage_invitations.html", status, form=form, note=note, **shown)
