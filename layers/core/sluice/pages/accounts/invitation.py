"""The page that an invitation's mail opens: sign-up with the address fixed. A GET uses nothing up."""

from collections.abc import Callable

from flask import Response, request

from sluice.domain import errors
from sluice.http.accounts.requests import RegisterBody
from sluice.http.accounts.visitor import visitor
from sluice.http.operation import validated
from sluice.pages import forms
from sluice.pages.blueprints import pages
from sluice.pages.render import page
from sluice.wiring.accounts import invited_registration

blueprint = pages("invitation")
TEMPLATE = "invitation.html"


@blueprint.get("/invitation")
def invitation() -> Response:
    return _redeeming(request.args.get("token", ""), lambda code: _form(code, 200, forms.Form()))


@blueprint.post("/invitation")
def accept() -> Response:
    return _redeeming(request.form.get("token", ""), _accept)


def _redeeming(code: str, view: Callable[[str], Response]) -> Response:
    try:
        return view(code)
    except errors.MailedCodeUsed:  # a second click: the account is ready, and that is what was wanted
        return page(TEMPLATE, state="done")
    except errors.MailedCodeInvalid:
        return page(TEMPLATE, 400, state="dead")
    except errors.Forbidden:
        return page(TEMPLATE, 403, state="closed")


def _accept(code: str) -> Response:
    given = {name: request.form.get(name, "") for name in ("email", "password", "name")}
    try:
        body = validated(RegisterBody, {**given, "invitation": code})
        invited_registration().register(code, body.email, body.password, body.name, visitor())
    except errors.ValidationFailed as exc:
        return _form(code, 422, forms.filled().with_problems(exc.problems))
    return page(TEMPLATE, state="done")


def _form(code: str, status: int, form: forms.Form) -> Response:
    email = invited_registration().invited(code, visitor())
    shown = forms.Form({**form.values, "email": email}, {}, form.problems)
    return page(TEMPLATE, status, state="open", code=code, form=shown)
