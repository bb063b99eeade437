"""`/admin/…` and the admin pages below `/manage`. Only this function may suspend an account, change its limits and
role, and change the owner's settings. Each request reads the caller's role from the store."""

from functools import partial

from flask import Blueprint, Response

from sluice.domain import errors
from sluice.domain.spans import parse_span
from sluice.http.accounts.visitor import visitor
from sluice.http.admin import actor, checked_user_id
from sluice.http.auth import Caller, now_ms
from sluice.http.invitations import InvitationInfo, InvitationPage, InvitationsQuery, InviteBody
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import Auth, operation, parse_body
from sluice.http.operations import (
    AdminRefusals,
    AdminRefusalsQuery,
    AdminUsage,
    AdminUsageQuery,
    AuditEventInfo,
    AuditPage,
    AuditQuery,
    LimitsBody,
    ListedUsersQuery,
    PlanBody,
    UsageCsvQuery,
    UserInfo,
    UserPage,
    UserRow,
)
from sluice.http.settings import GivenSettings, SettingsBody, SettingsInfo
from sluice.pages import settings as admin_settings
from sluice.pages.operations import admin as admin_pages
from sluice.pages.operations import invitations as admin_invitations
from sluice.pages.operations import user_views
from sluice.pages.operations import users as admin_users
from sluice.wiring import operations as rarely_used  # not built during INIT
from sluice.wiring.accounts import profile
from sluice.wiring.operations import administration, all_users, audit_trail, invitations
from sluice.wiring.settings import owners_terms
from sluice.wiring.stores import models_client  # noqa: F401  # built during INIT
from sluice.wiring.usage import everyones_sums, refusals

blueprint = Blueprint("admin", __name__)
blueprint.register_blueprint(admin_pages.blueprint)
blueprint.register_blueprint(admin_users.blueprint)
blueprint.register_blueprint(user_views.blueprint)
blueprint.register_blueprint(admin_invitations.blueprint)
blueprint.register_blueprint(admin_settings.blueprint)
documented = partial(operation, tag="Admin", auth=Auth.ADMIN)
CHANGE = (errors.NotFound, errors.Conflict)


@blueprint.get("/admin/users")
@documented(
    "Look through all accounts",
    description="In no order without `sort`. Repeat with `cursor=next_cursor` until it is null: a page reads a bounded "
    "number of accounts, so with a query it may be shorter than `limit`, or empty, without being the last. With `sort` "
    "more than 2,000 accounts that match are a 422.",
)
def users(caller: Caller, query: ListedUsersQuery) -> UserPage:
    text, after = query.query or "", query.cursor or None
    if query.sort is None:
        found = all_users().page(text, limit=query.limit, after=after)
    else:
        found = rarely_used.sorted_users().page(query.sort, text, limit=query.limit, after=after, now_ms=now_ms())
    return UserPage(data=[UserRow.of(account) for account in found.users], next_cursor=found.next_cursor)


@blueprint.get("/admin/users/<user_id>")
@documented("One account, its limits and its month", errors=(errors.NotFound,))
def user(caller: Caller, user_id: str) -> UserInfo:
    return _detail(user_id)


@blueprint.delete("/admin/users/<user_id>")
@documented(
    "Delete an account",
    errors=(errors.NotFound,),
    description="Its API tokens and sessions end at once, and its address is free. Its personal data is erased in the "
    "following minutes; the ledger keeps amounts without content. Nobody can delete themselves here (403).",
)
def remove(caller: Caller, user_id: str) -> None:
    rarely_used.removal().remove(actor(caller), checked_user_id(user_id), now_ms())


@blueprint.post("/admin/users/<user_id>/suspend")
@documented(
    "Suspend an account",
    errors=CHANGE,
    description="At once: its next request, with an API token or a session, is 403 `account_suspended`, and "
    "its running streams end within 5 s. Repeating it changes nothing. Nobody can suspend themselves (403).",
)
def suspend(caller: Caller, user_id: str) -> UserInfo:
    administration().suspend(actor(caller), checked_user_id(user_id), now_ms())
    return _detail(user_id)


@blueprint.post("/admin/users/<user_id>/restore")
@documented(
    "Restore a suspended account",
    errors=CHANGE,
    description="At once, with the API tokens and sessions it had. Repeating it changes nothing.",
)
def restore(caller: Caller, user_id: str) -> UserInfo:
    administration().restore(actor(caller), checked_user_id(user_id), now_ms())
    return _detail(user_id)


@blueprint.put("/admin/users/<user_id>/limits")
@documented(
    "Change an account's limits",
    errors=CHANGE,
    description="Applies from the next request. Omitted limits stay unchanged.",
)
def limits(caller: Caller, user_id: str, body: LimitsBody) -> UserInfo:
    changes = body.model_dump(exclude_none=True)
    administration().set_limits(actor(caller), checked_user_id(user_id), changes, now_ms())
    return _detail(user_id)


@blueprint.post("/admin/users/<user_id>/plan")
@documented(
    "Change an account's plan",
    errors=(errors.NotFound, errors.ValidationFailed),
    description="Its limits apply from the next request, and limits of this account alone end. A plan that does not "
    "exist is a 422 that names the plans there are.",
)
def plan(caller: Caller, user_id: str, body: PlanBody) -> UserInfo:
    administration().set_plan(actor(caller), checked_user_id(user_id), body.plan, now_ms())
    return _detail(user_id)


@blueprint.get("/admin/invitations")
@documented(
    "Invitations that wait for an answer",
    description="In no order. Repeat with `cursor=next_cursor` until it is null; a page may be empty without being the "
    "last.",
)
def open_invitations(caller: Caller, query: InvitationsQuery) -> InvitationPage:
    found = invitations().page(now_ms(), limit=query.limit, after=query.cursor or None)
    return InvitationPage(data=[InvitationInfo.of(one) for one in found.users], next_cursor=found.next_cursor)


@blueprint.post("/admin/invitations")
@documented(
    "Invite somebody by mail",
    status=201,
    errors=(errors.Conflict, errors.ValidationFailed, errors.TooManyAttempts),
    description="The mailed link is valid for 7 days, and once. It makes an account with this address, on this plan, "
    "also where sign-up is by invitation or for other domains. 409 if the address has an account or an invitation, or "
    "if sign-up is closed.",
)
def invite(caller: Caller, body: InviteBody) -> InvitationInfo:
    return InvitationInfo.of(invitations().invite(actor(caller), body.email, body.plan or "", visitor()))


@blueprint.post("/admin/invitations/<invitation_id>/resend")
@documented(
    "Send an invitation again",
    errors=(*CHANGE, errors.TooManyAttempts),
    description="With a new link, valid for 7 days from now. Earlier links end. Five mails at most.",
)
def resend_invitation(caller: Caller, invitation_id: str) -> InvitationInfo:
    return InvitationInfo.of(invitations().resend(actor(caller), checked_user_id(invitation_id), visitor()))


@blueprint.delete("/admin/invitations/<invitation_id>")
@documented("Withdraw an invitation", errors=CHANGE, description="Its link is invalid at once.")
def withdraw_invitation(caller: Caller, invitation_id: str) -> None:
    invitations().withdraw(actor(caller), checked_user_id(invitation_id), now_ms())


@blueprint.delete("/admin/users/<user_id>/factors")
@documented(
    "Switch off an account's two-step login",
    errors=(errors.NotFound,),
    description="For someone who has lost every second factor and recovery code. The account gets a mail.",
)
def remove_factors(caller: Caller, user_id: str) -> None:
    rarely_used.factor_removal().remove(actor(caller), checked_user_id(user_id), now_ms())


@blueprint.get("/admin/usage")
@documented(
    "Usage across all accounts",
    description="Whole UTC days, from the roll-ups, which are a few seconds behind. A time counts for its whole day.",
)
def usage(caller: Caller, query: AdminUsageQuery) -> AdminUsage:
    span = parse_span(query.from_, query.to, now_ms())
    return AdminUsage.of(everyones_sums().between(span), query.group_by)


@blueprint.get("/admin/usage.csv")
@documented(
    "Usage across all accounts, as CSV",
    answers={200: "text/csv"},
    description="A row for each day, account and model, at most 20,000. From the roll-ups, as `GET /admin/usage`; with "
    "`tz` from the requests themselves, at most 50,000. A cell that a spreadsheet would read as a formula begins with "
    "an apostrophe.",
)
def usage_csv(caller: Caller, query: UsageCsvQuery) -> Response:
    return query.file(now_ms())


@blueprint.get("/admin/refusals")
@documented(
    "Refused requests across all accounts",
    description="As `GET /usage/refusals`, in no order of accounts. Repeat with `cursor=next_cursor` until it is null; "
    "a page may be empty without being the last.",
)
def refused(caller: Caller, query: AdminRefusalsQuery) -> AdminRefusals:
    span = parse_span(query.from_, query.to, now_ms())
    return AdminRefusals.of(refusals().everyones(span, query.cursor or None))


@blueprint.get("/admin/settings")
@documented("The owner's settings in force, with their version")
def owners_settings(caller: Caller) -> SettingsInfo:
    return SettingsInfo.of(owners_terms().read())


@blueprint.put("/admin/settings")
@documented(
    "Change the owner's settings",
    errors=(errors.Conflict, errors.ValidationFailed),
    documented_body=SettingsBody,
    description="The whole settings replace those of `version`, which must be the newest: else 409 `conflict`, whose "
    "message says what was changed. In force everywhere within 10 s. Upstreams stay as they are (403): only the "
    "operator changes them.",
)
def change_owners_settings(caller: Caller) -> SettingsInfo:
    given = parse_body(GivenSettings)
    return SettingsInfo.of(owners_terms().change(actor(caller), given.version, given.settings(), now_ms()))


@blueprint.get("/admin/audit")
@documented(
    "What admins did, and what happened to the security of accounts, newest first",
    description="Repeat with `cursor=next_cursor` until it is null; a page may be empty without being the last.",
)
def audit(caller: Caller, query: AuditQuery) -> AuditPage:
    found = audit_trail().page(limit=query.limit, after=query.cursor or None, now_ms=now_ms())
    return AuditPage(data=[AuditEventInfo.of(event) for event in found.events], next_cursor=found.next_cursor)


def _detail(user_id: str) -> UserInfo:
    return UserInfo.detail(profile().overview(checked_user_id(user_id), now_ms()))


handler = lambda_handler(blueprint)
