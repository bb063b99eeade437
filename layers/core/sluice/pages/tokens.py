"""Pages of API tokens, served by the only function that holds the signing key."""

import re
from dataclasses import replace
from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from sluice import settings
from sluice.domain import errors
from sluice.domain import tokens as rules
from sluice.domain.gateway import publishable
from sluice.domain.usage.pricing import dollars
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller, now_ms
from sluice.http.operation import validated
from sluice.http.tokens import ChangeTokenBody, IssueTokenBody, RotateTokenBody, TokenLimitsInfo
from sluice.pages import forms, offer
from sluice.pages.blueprints import members, pages
from sluice.pages.links import at
from sluice.pages.render import page, see
from sluice.pages.words import _, later, noted
from sluice.services.tokens import IssuedToken, ListedToken
from sluice.wiring import peers
from sluice.wiring.settings import terms
from sluice.wiring.tokens import tokens

blueprint = pages("pages")
NOTES = {
    "revoked": later("Token revoked. The next request with it is refused."),
    "deleted": later("Token revoked and deleted."),
    "made": later(
        "Token created. It was shown once. If you have not copied it, rotate it: the new one is shown again."
    ),
    "changed": later("Token changed. Takes effect immediately."),
    "revoked-all": later("All tokens revoked. The next request with any of them is refused."),
}
LIFETIMES = {
    "1h": later("1 hour"),
    "1d": later("1 day"),
    "7d": later("7 days"),
    "30d": later("30 days"),
    "90d": later("90 days"),
    "1y": later("1 year"),
}
CUSTOM = "custom"
UNITS_S = {later("minutes"): 60, later("hours"): 3600, later("days"): 24 * 3600}
SCOPES = {
    "inference": later("chat, completions and responses"),
    "embeddings": later("embeddings"),
    "files": later("files"),
    "batches": later("batches"),
}
LIMITS = {
    "rpm": later("Requests a minute"),
    "tpm": later("Tokens a minute"),
    "monthly_tokens": later("Tokens a month"),
    "monthly_usd": later("Dollars a month"),
}
PUBLIC = {
    "per_visitor": str(publishable.DEFAULT_VISITOR_RPM),
    "daily_requests": str(publishable.DEFAULT_DAILY_REQUESTS),
}
WRONG = {
    "expires_in": later("Choose a lifetime from 1 minute to 365 days, in whole minutes, hours or days."),
    "scopes": later("Tick at least one."),
}
SHOWN_ONCE, SHOWN_WITHIN_S = "sluice_shown_once", 60
SOON_MS = 7 * 86_400_000  # before its end an API token's list says so, as the mail does
GRACES = {0: later("immediately"), 3600: later("in an hour"), 86_400: later("in a day")}
COUNT, LIMIT = re.compile(r"[0-9]{1,9}"), re.compile(r"-?[0-9]{1,18}")
NEW = forms.Form({"expires_in": rules.DEFAULT_EXPIRES_IN, **PUBLIC}, {"scopes": list(rules.SCOPES)})


@blueprint.get("/my/tokens")
@members
def token_list(caller: Caller) -> Response:
    now = now_ms()
    found = tokens().all(caller.account_id, now)
    live = sum(listed.status == "active" for listed in found)
    return page("tokens.html", tokens=found, live=live, soon_ms=now + SOON_MS, note=noted(NOTES))


@blueprint.get("/my/tokens/new")
@members
def issue_form(caller: Caller) -> Response:
    return _new_page(200, NEW)


@blueprint.post("/my/tokens")
@members
def issue(caller: Caller) -> AnyResponse:
    try:
        issued = tokens().issue(caller.account_id, _wanted(), now_ms(), epoch=caller.epoch)
    except (errors.ValidationFailed, errors.TokenLimitReached) as exc:
        return _new_page(*_refused(exc))
    return _to_be_shown(issued)


def _to_be_shown(issued: IssuedToken) -> AnyResponse:
    """Redirects, so that a reload makes no second API token. The token is not stored here: the browser brings it along
    in a cookie that is sent to this one page, and that the page deletes."""
    path = f"/my/tokens/{issued.row.token_id}"
    answer = see(path, note="made")
    answer.set_cookie(SHOWN_ONCE, issued.token, max_age=SHOWN_WITHIN_S, **_cookie(path))
    return answer


def _cookie(path: str) -> dict[str, Any]:
    return {"path": at(path), "secure": settings.common().https, "httponly": True, "samesite": "Strict"}


def _shown(listed: ListedToken, token: str) -> Response:
    row = listed.row
    answer = page(
        "token_shown.html",
        row=row,
        token=token,
        base_url=peers.base_url(),
        model=row.models[0] if row.models else "",
        first_model=_first_model(row),
        inference="inference" in row.scopes,
        scripts=("copy.js",),
    )
    answer.delete_cookie(SHOWN_ONCE, **_cookie(f"/my/tokens/{row.token_id}"))
    return answer


def _first_model(row: rules.ApiToken) -> str:
    return row.models[0] if row.models else offer.for_chat(offer.offer().known())


def _wanted() -> rules.TokenRequest:
    values: dict[str, Any] = {"name": request.form.get("name", ""), "expires_in": _lifetime()}
    values |= {"scopes": request.form.getlist("scopes"), "models": _models() or None}
    values |= {"limits": _limits(), "local_only": "local_only" in request.form}
    values["kind"] = request.form.get("kind", "secret")
    if values["kind"] == "publishable":
        values |= {**_public_terms(), "scopes": None}
    return validated(IssueTokenBody, values).wanted


def _limits() -> dict[str, int | str | None]:
    """An empty field is no limit. The model that checks the form refuses what is no number."""
    return {name: _number(request.form.get(name, "").strip()) for name in LIMITS}


def _public_terms() -> dict[str, Any]:
    """Of a publishable API token. An empty number is the default of a new one, and no change of an old one."""
    rpm, daily = (_number(request.form.get(name, "").strip()) for name in ("per_visitor", "daily_requests"))
    origins = request.form.get("origins", "").split()
    return {"origins": origins, "per_visitor": None if rpm is None else {"rpm": rpm}, "daily_requests": daily}


def _number(text: str) -> int | str | None:
    """The model that checks the form refuses what is no number."""
    return int(text) if LIMIT.fullmatch(text) else text or None


def _refused(error: errors.SluiceError) -> tuple[int, forms.Form]:
    """A problem of a limit belongs to its own field. Where the API's message names values that the form does not show,
    the form has its own."""
    status, form = forms.refused(error, "name")
    named = [replace(one, field=one.field.removeprefix("limits.")) for one in form.problems]
    own = WRONG if request.form.get("name", "").strip() else {**WRONG, "name": later("Enter a name.")}
    return status, form.with_problems(
        [replace(one, message=_(own[one.field]) if one.field in own else one.message) for one in named]
    )


def _lifetime() -> str | int:
    """A number and a unit if a number is given, whatever the list says; otherwise a name from the list. The model that
    checks the form refuses anything else."""
    count = request.form.get("custom_count", "").strip()
    if not count:
        return request.form.get("expires_in", "")
    return int(count) * UNITS_S.get(request.form.get("custom_unit", ""), 0) if COUNT.fullmatch(count) else CUSTOM


def _models() -> list[str]:
    """The ticked models, or the typed ones if the list of models was not available."""
    typed = re.split(r"[\s,]+", request.form.get("models", ""))
    return list(dict.fromkeys(name for name in request.form.getlist("model") + typed if name))


@blueprint.get("/my/tokens/<token_id>")
@members
def one(caller: Caller, token_id: str) -> Response:
    """Once after it was made, the API token itself."""
    brought = request.cookies.get(SHOWN_ONCE, "")
    listed = tokens().one(caller.account_id, token_id, now_ms())
    if brought and brought.endswith(listed.row.hint):
        return _shown(listed, brought)
    return _token_page(caller, token_id, 200, forms.Form(), noted(NOTES))


@blueprint.post("/my/tokens/<token_id>/change")
@members
def change(caller: Caller, token_id: str) -> AnyResponse:
    try:
        public = _public_terms() if "origins" in request.form else {}
        body = validated(ChangeTokenBody, {"name": request.form.get("name", ""), "limits": _limits(), **public})
        what = (body.name, body.changed_limits(), now_ms(), body.changed_terms())
        tokens().change(caller.account_id, token_id, *what)
    except (errors.ValidationFailed, errors.Conflict) as exc:
        return _token_page(caller, token_id, *_refused(exc))
    return see(f"/my/tokens/{token_id}", note="changed")


@blueprint.post("/my/tokens/<token_id>/rotate")
@members
def rotate(caller: Caller, token_id: str) -> AnyResponse:
    chosen = request.form.get("grace_seconds", "")
    try:
        body = validated(RotateTokenBody, {"grace_seconds": int(chosen) if COUNT.fullmatch(chosen) else chosen})
        rotated = tokens().rotate(caller.account_id, token_id, body.grace_seconds, now_ms(), epoch=caller.epoch)
    except (errors.ValidationFailed, errors.Conflict) as exc:
        return _token_page(caller, token_id, *forms.refused(exc, "grace_seconds"))
    return _to_be_shown(rotated)


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


def _token_page(caller: Caller, token_id: str, status: int, form: forms.Form, note: str = "") -> Response:
    listed = tokens().one(caller.account_id, token_id, now_ms())
    now: dict[str, Any] = vars(TokenLimitsInfo.of(listed.limits))
    if (micro_usd := listed.limits.monthly_micro_usd) is not None:
        now["monthly_usd"] = dollars(micro_usd)
    if (public := listed.public) is not None:
        now |= {"origins": "\n".join(public.origins), "per_visitor": public.visitor_rpm}
        now["daily_requests"] = public.daily_requests
    of_now = {name: "" if limit is None else str(limit) for name, limit in now.items()}
    shown = form if "name" in form.values else forms.Form({**of_now, "name": listed.row.name}, {}, form.problems)
    places: dict[str, Any] = {"limits": LIMITS, "graces": GRACES, "scopes": SCOPES}
    return page("token.html", status, listed=listed, form=shown, note=note, **places)


def _new_page(status: int, form: forms.Form) -> Response:
    return page(
        "token_new.html",
        status,
        lifetimes={**LIFETIMES, CUSTOM: later("Custom…")},
        units=UNITS_S,
        chosen_models=_models(),
        scripts=("htmx.js",),
        scopes=SCOPES,
        limits=LIMITS,
        may_leave_home=any(one.leaves_home for one in terms().upstreams),
        form=form,
    )
