"""`/admin/…` and the admin pages below `/manage`. Only this function may suspend an account or change its limits and
role. Each request reads the caller's role from the store."""

from typing import Any

from flask import Blueprint

from sluice.domain import errors
from sluice.domain.spans import parse_span
from sluice.http.admin import actor, checked_user_id
from sluice.http.auth import Caller, now_ms
from sluice.http.on_lambda import wsgi
from sluice.http.operation import Auth, operation
from sluice.http.operations import (
    AdminRefusals,
    AdminRefusalsQuery,
    AdminUsage,
    AdminUsageQuery,
    AuditEventInfo,
    AuditPage,
    AuditQuery,
    LimitsBody,
    UserInfo,
    UserPage,
    UserRow,
    UsersQuery,
)
from sluice.pages.operations import admin as admin_pages
from sluice.pages.operations import users as admin_users
from sluice.wiring.accounts import profile
from sluice.wiring.operations import administration, all_users, audit_trail
from sluice.wiring.usage import everyones_sums, refusals

blueprint = Blueprint("admin", __name__)
blueprint.register_blueprint(admin_pages.blueprint)
blueprint.register_blueprint(admin_users.blueprint)
TAG = "Admin"
ONE = (errors.NotFound, errors.StoreUnavailable)
CHANGE = (errors.NotFound, errors.Conflict, errors.StoreUnavailable)


@blueprint.get("/admin/users")
@operation(
    "Look through all accounts",
    tag=TAG,
    auth=Auth.ADMIN,
    query=UsersQuery,
    answers={200: UserPage},
    errors=(errors.ValidationFailed, errors.StoreUnavailable),
    description="In no order. Repeat with `cursor=next_cursor` until it is null: a page reads a bounded number of "
    "accounts, so with a query it may be shorter than `limit`, or empty, without being the last.",
)
def users(caller: Caller, query: UsersQuery) -> UserPage:
    found = all_users().page(query.query or "", limit=query.limit, after=query.cursor or None)
    return UserPage(data=[UserRow.row(account) for account in found.users], next_cursor=found.next_cursor)


@blueprint.get("/admin/users/<user_id>")
@operation("One account, its limits and its month", tag=TAG, auth=Auth.ADMIN, answers={200: UserInfo}, errors=ONE)
def user(caller: Caller, user_id: str) -> UserInfo:
    return _detail(user_id)


@blueprint.post("/admin/users/<user_id>/suspend")
@operation(
    "Suspend an account",
    tag=TAG,
    auth=Auth.ADMIN,
    answers={200: UserInfo},
    errors=CHANGE,
    description="At once: its next request, with an API token or a session, is 403 `account_suspended`, and "
    "its running streams end within 5 s. Repeating it changes nothing. Nobody can suspend themselves (403).",
)
def suspend(caller: Caller, user_id: str) -> UserInfo:
    administration().suspend(actor(caller), checked_user_id(user_id), now_ms())
    return _detail(user_id)


@blueprint.post("/admin/users/<user_id>/restore")
@operation(
    "Restore a suspended account",
    tag=TAG,
    auth=Auth.ADMIN,
    answers={200: UserInfo},
    errors=CHANGE,
    description="At once, with the API tokens and sessions it had. Repeating it changes nothing.",
)
def restore(caller: Caller, user_id: str) -> UserInfo:
    administration().restore(actor(caller), checked_user_id(user_id), now_ms())
    return _detail(user_id)


@blueprint.put("/admin/users/<user_id>/limits")
@operation(
    "Change an account's limits",
    tag=TAG,
    auth=Auth.ADMIN,
    body=LimitsBody,
    answers={200: UserInfo},
    errors=CHANGE,
    description="Applies from the next request. Omitted limits stay unchanged.",
)
def limits(caller: Caller, user_id: str, body: LimitsBody) -> UserInfo:
    changes = body.model_dump(exclude_none=True)
    administration().set_limits(actor(caller), checked_user_id(user_id), changes, now_ms())
    return _detail(user_id)


@blueprint.get("/admin/usage")
@operation(
    "Usage across all accounts",
    tag=TAG,
    auth=Auth.ADMIN,
    query=AdminUsageQuery,
    answers={200: AdminUsage},
    errors=(errors.ValidationFailed, errors.StoreUnavailable),
    description="Whole UTC days, from the roll-ups, which are a few seconds behind. A time counts for its whole day.",
)
def usage(caller: Caller, query: AdminUsageQuery) -> AdminUsage:
    span = parse_span(query.from_, query.to, now_ms())
    return AdminUsage.of(everyones_sums().between(span), query.group_by)


@blueprint.get("/admin/refusals")
@operation(
    "Refused requests across all accounts",
    tag=TAG,
    auth=Auth.ADMIN,
    query=AdminRefusalsQuery,
    answers={200: AdminRefusals},
    errors=(errors.ValidationFailed, errors.StoreUnavailable),
    description="As `GET /usage/refusals`, in no order of accounts. Repeat with `cursor=next_cursor` until it is null; "
    "a page may be empty without being the last.",
)
def refused(caller: Caller, query: AdminRefusalsQuery) -> AdminRefusals:
    span = parse_span(query.from_, query.to, now_ms())
    return AdminRefusals.of(refusals().everyones(span, query.cursor or None))


@blueprint.get("/admin/audit")
@operation(
    "What admins did, and what happened to the security of accounts, newest first",
    tag=TAG,
    auth=Auth.ADMIN,
    query=AuditQuery,
    answers={200: AuditPage},
    errors=(errors.ValidationFailed, errors.StoreUnavailable),
    description="Repeat with `cursor=next_cursor` until it is null; a page may be empty without being the last.",
)
def audit(caller: Caller, query: AuditQuery) -> AuditPage:
    found = audit_trail().page(limit=query.limit, after=query.cursor or None, now_ms=now_ms())
    return AuditPage(data=[AuditEventInfo.of(event) for event in found.events], next_cursor=found.next_cursor)


def _detail(user_id: str) -> UserInfo:
    return UserInfo.detail(profile().overview(checked_user_id(user_id), now_ms()))


def handler(event: dict[str, Any], context: object) -> Any:
    """API Gateway's proxy event (AWS Lambda)."""
    return wsgi(blueprint)(event, context)
