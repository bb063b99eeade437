"""Pages to issue, list, revoke and delete API tokens, served by the only function that holds the signing key."""

import re
from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.domain import tokens as rules
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller, now_ms
from sluice.http.operation import validated
from sluice.http.tokens import IssueTokenBody
from sluice.pages import forms
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page, see
from sluice.wiring import peers
from sluice.wiring.tokens import tokens

blueprint = pages("pages")
NOTES = {
    "revoked": "The token is revoked: the next request with it is refused.",
    "deleted": "The token is revoked and gone from the list.",
    "revoked-all": "All tokens are revoked: the next request with any of them is refused.",
}
LIFETIMES = {"1h": "1 hour", "1d": "1 day", "7d": "7 days", "30d": "30 days", "90d": "90 days", "1y": "1 year"}
CUSTOM = "custom"
UNITS_S = {"minutes": 60, "hours": 3600, "days": 24 * 3600}
SCOPES = {
    "inference": "chat, completions and responses",
    "embeddings": "embeddings",
    "files": "files",
    "batches": "batches",
}
COUNT = re.compile(r"[0-9]{1,9}")
NEW = forms.Form({"expires_in": rules.DEFAULT_EXPIRES_IN}, {"scopes": list(rules.SCOPES)})


@blueprint.get("/my/tokens")
@members
def token_list(caller: Caller) -> Response:
    return _list_page(caller, 200, NEW, NOTES.get(request.args.get("note", ""), ""))


@blueprint.post("/my/tokens")
@members
def issue(caller: Caller) -> Response:
    """Answers with the page itself, not a redirect, because the API token is not stored and is shown only once."""
    try:
        issued = tokens().issue(caller.account_id, _wanted(), now_ms(), epoch=caller.epoch)
    except (errors.ValidationFailed, errors.TokenLimitReached) as exc:
        return _list_page(caller, *forms.refused(exc, "name"))
    return page(
        "token_shown.html",
        201,
        issued=issued,
        base_url=peers.base_url(),
        model=issued.row.models[0] if issued.row.models else "",
        inference="inference" in issued.row.scopes,
        scripts=("copy.js",),
    )


def _wanted() -> rules.TokenRequest:
    values: dict[str, Any] = {"name": request.form.get("name", ""), "expires_in": _lifetime()}
    values |= {"scopes": request.form.getlist("scopes"), "models": _models() or None}
    return validated(IssueTokenBody, values).wanted


def _lifetime() -> str | int:
    """A name from the list, or a number and a unit. The model that checks the form refuses anything else."""
    chosen, count = request.form.get("expires_in", ""), request.form.get("custom_count", "").strip()
    if chosen != CUSTOM or not COUNT.fullmatch(count):
        return chosen
    return int(count) * UNITS_S.get(request.form.get("custom_unit", ""), 0)


def _models() -> list[str]:
    """The ticked models, or the typed ones if the list of models was not available."""
    typed = re.split(r"[\s,]+", request.form.get("models", ""))
    return list(dict.fromkeys(name for name in request.form.getlist("model") + typed if name))


@blueprint.get("/my/tokens/<token_id>")
@members
def one(caller: Caller, token_id: str) -> Response:
    return page("token.html", listed=tokens().one(caller.account_id, token_id, now_ms()), scopes=SCOPES)


@blueprint.post("/my/tokens/<token_id>/revoke")
@members
def revoke(caller: Caller, token_id: str) -> AnyResponse:
    tokens().revoke(caller.account_id, token_id, now_ms())
    return see("/my/tokens", note="revoked")


@blueprint.post("/my/tokens/<token_id>/delete")
@members
def delete(caller: Caller, token_id: str) -> AnyResponse:
    tokens().delete(caller.account_id, token_id)
    return see("/my/tokens", note="deleted")


@blueprint.post("/my/tokens/revoke-all")
@members
def revoke_every(caller: Caller) -> AnyResponse:
    tokens().revoke_all(caller.account_id, visitor())
    return see("/my/tokens", note="revoked-all")


def _list_page(caller: Caller, status: int, form: forms.Form, note: str = "") -> Response:
    found = tokens().all(caller.account_id, now_ms())
    return page(
        "tokens.html",
        status,
        tokens=found,
        live=sum(listed.status == "active" for listed in found),
        lifetimes={**LIFETIMES, CUSTOM: "another, as below"},
        units=UNITS_S,
        chosen_models=_models(),
        scripts=("htmx.js",),
        scopes=SCOPES,
        form=form,
        note=note,
    )
