"""The other admin pages: the system's state, usage of all accounts, and the audit log."""

from collections.abc import Mapping
from typing import Any, Literal

from flask import Response, request

from sluice.domain import errors
from sluice.domain.accounts.audit import OPERATOR, STRIPE, Action
from sluice.domain.periods import day_of
from sluice.domain.spans import Span, parse_span
from sluice.domain.usage.refusals import KEPT_DAYS
from sluice.domain.usage.usage import by_day
from sluice.http.auth import Caller, now_ms
from sluice.http.operation import validated
from sluice.http.operations import AdminRefusalsQuery, AuditQuery, UsageCsvQuery
from sluice.pages import forms
from sluice.pages.blueprints import admins, pages
from sluice.pages.render import page
from sluice.pages.usage.usage import UsageQuery, chosen_span, presets
from sluice.pages.words import _, later
from sluice.pages.zone import browsers_zone
from sluice.services.usage.everyone import NOTHING_USED
from sluice.services.usage.refusals import RefusalReport
from sluice.wiring.operations import all_users, audit_trail, first_steps, health_check
from sluice.wiring.usage import everyones_sums, refusals

blueprint = pages("manage")
EVENTS = 30
SCRIPTS = ("uplot.js", "plots.js")
WITHOUT_ADDRESS = {  # instead of an account's address
    OPERATOR: later("the operator, by command"),
    STRIPE: later("a subscription, by Stripe"),
    "": later("unknown"),
}
WORDS: Mapping[str, str] = {
    Action.USER_SUSPENDED: later("Account suspended"),
    Action.USER_RESTORED: later("Account restored"),
    Action.LIMITS_CHANGED: later("Limits changed"),
    Action.ROLE_CHANGED: later("Role changed"),
    Action.SETTINGS_CHANGED: later("Settings changed"),
    Action.NEW_PLACE_LOGIN: later("Login from a new place"),
    Action.LOGINS_THROTTLED: later("Logins throttled"),
    Action.PASSWORD_CHANGED: later("Password changed"),
    Action.FACTOR_ADDED: later("Second factor added"),
    Action.FACTOR_REMOVED: later("Second factor removed"),
    Action.FACTORS_REMOVED: later("Two-step login switched off"),
    Action.FACTORS_THROTTLED: later("Wrong second factors, after the right password"),
    Action.PASSKEY_COPIED: later("Passkey refused, as its counter went back"),
    Action.RECOVERY_CODE_USED: later("Recovery code used"),
    Action.RECOVERY_CODES_RENEWED: later("New recovery codes"),
    Action.IDENTITY_LINKED: later("Sign-in provider linked"),
    Action.IDENTITY_REMOVED: later("Sign-in provider unlinked"),
    Action.SESSIONS_ENDED: later("Logged out everywhere else"),
    Action.PASSWORD_RESET: later("Password reset"),
    Action.EMAIL_CHANGED: later("Address changed"),
    Action.TOKENS_REVOKED: later("All API tokens revoked"),
    Action.WEBHOOK_MADE: later("Webhook made"),
    Action.WEBHOOK_CHANGED: later("Webhook changed"),
    Action.WEBHOOK_SECRET_RENEWED: later("New secret of a webhook"),
    Action.WEBHOOK_DELETED: later("Webhook deleted"),
    Action.ACCOUNT_DELETED: later("Account deleted"),
    Action.USER_INVITED: later("Invited"),
    Action.INVITATION_WITHDRAWN: later("Invitation withdrawn"),
    Action.INVITATION_ACCEPTED: later("Invitation accepted"),
}


class AllUsageQuery(UsageQuery):
    """Grouped by model only, because an account's API tokens are private."""

    split: Literal["", "model"] = ""


@blueprint.get("/manage")
@admins
def overview(caller: Caller) -> Response:
    now = now_ms()
    today = parse_span(day_of(now), None, now)
    return page(
        "manage.html",
        system=health_check().look(now),
        done=first_steps().of(caller.account_id),
        today=everyones_sums().between(today),
        refused=refusals().everyones(today, None),
    )


@blueprint.get("/manage/usage")
@admins
def usage(caller: Caller) -> Response:
    now, form, status = now_ms(), forms.Form(request.args.to_dict()), 200
    found, asked, span = NOTHING_USED, AllUsageQuery.model_validate({}), Span(now, now)
    try:
        asked = validated(AllUsageQuery, request.args.to_dict())
        span = chosen_span(asked, now)
        found = everyones_sums().between(span)
    except errors.ValidationFailed as exc:
        form, status = form.with_problems(exc.problems), 422
    shown: dict[str, Any] = {
        "days": [(day, key, amounts) for (day, key), amounts in by_day(found.by_bucket, asked.split).items()],
        "first_day": day_of(span.from_ms),
        "last_day": day_of(max(span.from_ms, min(span.to_ms, now) - 1)),
        "split": asked.split,
        "zones": dict.fromkeys(["UTC", str(browsers_zone())]),
        "presets": presets(now),
        "top": [
            (found.emails.get(one) or _("%(account)s (deleted)", account=one), amounts) for one, amounts in found.top()
        ],
        "links": {email: f"/manage/users/{one}" for one, email in found.emails.items()},
    }
    return page("manage_usage.html", status, scripts=SCRIPTS, form=form, found=found, **shown)


@blueprint.get("/manage/usage.csv")
@admins
def usage_csv(caller: Caller) -> Response:
    return validated(UsageCsvQuery, request.args.to_dict()).file(now_ms())


@blueprint.get("/manage/refusals")
@admins
def refused(caller: Caller) -> Response:
    form, status, report = forms.Form(request.args.to_dict()), 200, RefusalReport([])
    now = now_ms()
    try:
        asked = validated(AdminRefusalsQuery, {name: value for name, value in request.args.items() if value})
        report = refusals().everyones(parse_span(asked.from_ or day_of(now), asked.to, now), asked.cursor)
    except errors.ValidationFailed as exc:
        if any(problem.field == "cursor" for problem in exc.problems):
            raise  # not from a form field, so show the error page for a wrong link
        form, status = form.with_problems(exc.problems), 422
    people = all_users().emails(day.account_id for day in report.days)
    return page("manage_refusals.html", status, form=form, report=report, people=people, kept_days=KEPT_DAYS)


@blueprint.get("/manage/audit")
@admins
def audit(caller: Caller) -> Response:
    asked = validated(AuditQuery, {**request.args.to_dict(), "limit": EVENTS})
    found = audit_trail().page(limit=EVENTS, after=asked.cursor or None, now_ms=now_ms())
    people = {**{key: _(text) for key, text in WITHOUT_ADDRESS.items()}, **audit_trail().emails(found.events)}
    return page("manage_audit.html", log=found, asked=asked, people=people, words=WORDS)
