"""Admin pages about users: find them, change limits and roles, suspend and restore.

They use the same services as the calls below `/admin`, which is the API's address, so the pages are elsewhere.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flask import Response, request
from pydantic import BaseModel, Field
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.domain.accounts.account import Account, Role
from sluice.http.admin import actor, checked_user_id
from sluice.http.auth import Caller, now_ms
from sluice.http.operation import validated
from sluice.http.operations import LimitsBody, PlanBody, UsersQuery
from sluice.pages import forms
from sluice.pages.blueprints import admins, pages
from sluice.pages.render import page, see
from sluice.pages.words import later, noted
from sluice.services.accounts.profile import Overview
from sluice.services.operations.months import Month, month_of
from sluice.wiring import operations as rarely_used
from sluice.wiring.accounts import passwords, profile
from sluice.wiring.operations import administration, all_users, months
from sluice.wiring.settings import terms

blueprint = pages("manage_users")
ROWS = 50
WHOLE = re.compile("-?[0-9]{1,18}")
NOTES = {
    "suspended": later("The account is suspended: every request, session and running stream of it ends now."),
    "restored": later("The account is restored, with the API tokens and sessions it had."),
    "plan": later("The plan is changed, from the next request on. Limits of this account alone have ended."),
    "limits": later("The limits are changed, from the next request on."),
    "factors": later("Two-step login is off. The account gets a mail about it."),
    "role": later("The role is changed, from the next request on."),
}
LIMITS = {
    "rpm": later("Requests a minute"),
    "tpm": later("Tokens a minute"),
    "concurrency": later("Concurrent requests"),
    "monthly_tokens": later("Tokens a month"),
}
ROLES: Mapping[str, Role] = {"user": "user", "admin": "admin"}


class UserRow(NamedTuple):
    account: Account
    month: Month


SORTED_BY: Mapping[str, Callable[[UserRow], Any]] = {
    "address": lambda one: one.account.email.lower(),
    "status": lambda one: one.account.status,
    "tokens": lambda one: one.month.tokens,
    "cost": lambda one: one.month.cost_micro_usd or 0,
    "seen": lambda one: one.month.seen_ms or 0,
    "since": lambda one: one.account.created_ms,
}
COLUMNS = {
    "address": later("Email address"),
    "status": later("Status"),
    "tokens": later("Tokens this month"),
    "cost": later("Cost"),
    "seen": later("Last seen"),
    "since": later("Since"),
}


class SortedUsersQuery(UsersQuery):
    """`sort`: a key of `COLUMNS`, after a minus the largest first."""

    sort: str = Field("-tokens", pattern=f"^-?({'|'.join(COLUMNS)})$")


class PasswordBody(BaseModel):
    password: str = Field(max_length=256)


@blueprint.get("/manage/users")
@admins
def users(caller: Caller) -> Response:
    given = {name: text for name, text in request.args.items() if text}
    asked = validated(SortedUsersQuery, {**given, "limit": ROWS})
    found = all_users().page(asked.query or "", limit=ROWS, after=asked.cursor or None)
    used = months().of([one.account_id for one in found.users], now_ms())
    rows = [UserRow(one, used[one.account_id]) for one in found.users]
    rows.sort(key=SORTED_BY[asked.sort.removeprefix("-")], reverse=asked.sort.startswith("-"))
    priced = any(row.month.cost_micro_usd is not None for row in rows)
    columns = {key: text for key, text in COLUMNS.items() if priced or key != "cost"}
    form = forms.Form({"query": asked.query or ""})
    return page("manage_users.html", found=found, rows=rows, columns=columns, asked=asked, form=form)


@blueprint.get("/manage/users/<user_id>")
@admins
def user(caller: Caller, user_id: str) -> Response:
    return _user_page(caller, user_id, 200, forms.Form(), noted(NOTES))


@blueprint.post("/manage/users/<user_id>/limits")
@admins
def limits(caller: Caller, user_id: str) -> AnyResponse:
    given = {name: request.form.get(name, "").strip() for name in LIMITS}
    numbers = {name: int(text) if WHOLE.fullmatch(text) else text for name, text in given.items() if text}
    try:
        wanted = validated(LimitsBody, numbers)
    except errors.ValidationFailed as exc:
        return _user_page(caller, user_id, 422, forms.filled().with_problems(exc.problems))
    changes = wanted.model_dump(exclude_none=True)
    administration().set_limits(actor(caller), checked_user_id(user_id), changes, now_ms())
    return see(f"/manage/users/{user_id}", note="limits")


@blueprint.post("/manage/users/<user_id>/plan")
@admins
def plan(caller: Caller, user_id: str) -> AnyResponse:
    try:
        body = forms.posted(PlanBody)
        administration().set_plan(actor(caller), checked_user_id(user_id), body.plan, now_ms())
    except errors.ValidationFailed as exc:
        return _user_page(caller, user_id, *forms.refused(exc, "plan"))
    return see(f"/manage/users/{user_id}", note="plan")


@blueprint.post("/manage/users/<user_id>/suspend")
@admins
def suspend(caller: Caller, user_id: str) -> AnyResponse:
    administration().suspend(actor(caller), checked_user_id(user_id), now_ms())
    return see(f"/manage/users/{user_id}", note="suspended")


@blueprint.post("/manage/users/<user_id>/restore")
@admins
def restore(caller: Caller, user_id: str) -> AnyResponse:
    administration().restore(actor(caller), checked_user_id(user_id), now_ms())
    return see(f"/manage/users/{user_id}", note="restored")


@blueprint.get("/manage/users/<user_id>/role")
@admins
def role_form(caller: Caller, user_id: str) -> Response:
    return _role_page(user_id, 200, forms.Form())


@blueprint.post("/manage/users/<user_id>/role")
@admins
def change_role(caller: Caller, user_id: str) -> AnyResponse:
    """Asks for the password, because a new admin can do all that this admin can. A session alone is not enough."""
    wanted = ROLES.get(request.form.get("role", ""))
    if wanted is None:
        raise errors.NotFound()
    try:
        body = validated(PasswordBody, {"password": request.form.get("password", "")})
        passwords().confirm(caller.account_id, body.password, now_ms(), is_fresh=caller.is_fresh)
    except (errors.InvalidCredentials, errors.ValidationFailed) as exc:
        return _role_page(user_id, 401, forms.Form(problems=(errors.FieldProblem("password", exc.message),)))
    administration().set_role(actor(caller), checked_user_id(user_id), wanted, now_ms())
    return see(f"/manage/users/{user_id}", note="role")


@blueprint.get("/manage/users/<user_id>/factors")
@admins
def factors_form(caller: Caller, user_id: str) -> Response:
    return page("manage_factors.html", found=_overview(user_id))


@blueprint.post("/manage/users/<user_id>/factors")
@admins
def remove_factors(caller: Caller, user_id: str) -> AnyResponse:
    """Asks for the password, because the account is weaker afterwards."""
    try:
        body = validated(PasswordBody, {"password": request.form.get("password", "")})
        passwords().confirm(caller.account_id, body.password, now_ms(), is_fresh=caller.is_fresh)
    except (errors.InvalidCredentials, errors.ValidationFailed) as exc:
        form = forms.Form(problems=(errors.FieldProblem("password", exc.message),))
        return page("manage_factors.html", 401, found=_overview(user_id), form=form)
    rarely_used.factor_removal().remove(actor(caller), checked_user_id(user_id), now_ms())
    return see(f"/manage/users/{user_id}", note="factors")


def _user_page(caller: Caller, user_id: str, status: int, form: forms.Form, note: str = "") -> Response:
    found = _overview(user_id)
    now = {name: str(getattr(found.limits, name)) for name in LIMITS}
    shown = form if "rpm" in form.values else forms.Form(now, {}, form.problems)
    own = found.account.account_id == caller.account_id
    month = month_of(found.grant, now_ms())
    more: dict[str, Any] = {"names": LIMITS, "plans": list(terms().plans), "is_own": own, "month": month}
    return page("manage_user.html", status, found=found, form=shown, note=note, **more)


def _role_page(user_id: str, status: int, form: forms.Form) -> Response:
    return page("manage_role.html", status, found=_overview(user_id), form=form)


def _overview(user_id: str) -> Overview:
    return profile().overview(checked_user_id(user_id), now_ms())
