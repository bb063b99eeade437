"""The usage page: usage by day, model and API token, what is left of each limit, and when it refills."""

from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from typing import Any

from flask import Response, request
from pydantic import BaseModel, Field

from sluice.domain import errors
from sluice.domain.gateway import buckets
from sluice.domain.gateway.grants import PLAYGROUND
from sluice.domain.periods import ONE_DAY, day_of, hour_of, period_ends_ms
from sluice.domain.spans import DAY_MS, Span, parse_span
from sluice.domain.usage.usage import Amounts, Bucket, Split, by_day, grouped, total
from sluice.http.auth import Caller, now_ms
from sluice.http.operation import validated
from sluice.pages import forms
from sluice.pages.amounts import day
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page
from sluice.pages.words import _, later
from sluice.pages.zone import browsers_zone
from sluice.services.accounts.profile import Overview
from sluice.wiring.accounts import profile
from sluice.wiring.tokens import tokens
from sluice.wiring.usage import refusals, usage_log, usage_sums

blueprint = pages("usage")
SCRIPTS = ("zone.js", "htmx.js", "uplot.js", "plots.js")
PRESETS = {later("Today"): 1, later("7 days"): 7, later("30 days"): 30}  # and this month, which is the default
HOURLY_DAYS = 2  # up to this many days are shown by the hour
MOST_DAYS = 400  # each day is drawn and listed


class UsageQuery(BaseModel):
    from_: str = Field("", alias="from", max_length=64)
    to: str = Field("", max_length=64)
    split: Split = ""


@dataclass(frozen=True)
class LimitLeft:
    """A limit, what is left of it now, and when it is whole again. `is_money`: in micro-dollars."""

    name: str
    limit: int
    left: int
    resets: str
    is_money: bool = False


@blueprint.get("/my/usage")
@members
def usage(caller: Caller) -> Response:
    now, zone, form, status = now_ms(), browsers_zone(), forms.Form(request.args.to_dict()), 200
    asked, span, rows = UsageQuery.model_validate({}), Span(now, now), {}
    sums: dict[Bucket, Amounts] = {}
    try:
        asked = validated(UsageQuery, request.args.to_dict())
        span = chosen_span(asked, now, zone)
        sums, zone = _sums(caller, span, now, zone)
        rows = _over_time(caller, span, sums, asked.split, zone)
    except errors.ValidationFailed as exc:
        form, status = form.with_problems(exc.problems), 422
    names = names_of(caller.account_id)
    keys = names if asked.split == "token" else {}
    shown: dict[str, Any] = {
        **_axis(span, now, zone),
        "zone": zone,
        "has_utc_days": zone is not browsers_zone(),
        "rows": [(moment, keys.get(key, key), amounts) for (moment, key), amounts in rows.items()],
        "split": asked.split,
        "tables": [
            (_("By model"), _("Model"), _rows(grouped(sums, "model"), {})),
            (_("By API token"), _("API token"), _rows(grouped(sums, "token"), names)),
        ],
        "total": total(sums),
        "latency": usage_log().latency(caller.account_id, span),
        "presets": presets(now, zone),
        "refused": refusals().of_account(caller.account_id, span),
        "names": names,
        "limits": limits_left(profile().overview(caller.account_id, now), now),
    }
    return page("usage.html", status, scripts=SCRIPTS, form=form, **shown)


def _sums(caller: Caller, span: Span, now: int, zone: tzinfo) -> tuple[dict[Bucket, Amounts], tzinfo]:
    """The sums, and the zone of their days: UTC where there are too many requests for another."""
    try:
        return usage_sums().by_day_of(zone, caller.account_id, span, now), zone
    except errors.ValidationFailed as exc:
        if all(problem.field != "tz" for problem in exc.problems):
            raise
        return usage_sums().by_bucket(caller.account_id, span, now), UTC


def presets(now: int, zone: tzinfo = UTC) -> dict[str, str]:
    """Names of spans that end today, and the first day of each; this month's is empty, as it is the default."""
    today = date.fromisoformat(day_of(now, zone))
    days = {_(name): (today - (count - 1) * ONE_DAY).isoformat() for name, count in PRESETS.items()}
    return {**days, _("This month"): ""}


def chosen_span(asked: UsageQuery, now: int, zone: tzinfo = UTC) -> Span:
    """Errors: ValidationFailed, naming the field."""
    span = parse_span(asked.from_ or None, asked.to or None, now, zone)
    if span.to_ms - span.from_ms > MOST_DAYS * DAY_MS:
        message = _("These are more than %(most)s days. Choose a later first day.", most=MOST_DAYS)
        raise errors.ValidationFailed((errors.FieldProblem("from", message),))
    return span


def _axis(span: Span, now: int, zone: tzinfo) -> dict[str, str]:
    """First and last moment of the plots, and the step between two."""
    moment_of = hour_of if _is_hourly(span) else day_of
    return {
        "first": moment_of(span.from_ms, zone),
        "last": moment_of(max(span.from_ms, min(span.to_ms, now + 1) - 1), zone),
        "step": "hour" if _is_hourly(span) else "day",
    }


def _is_hourly(span: Span) -> bool:
    return span.to_ms - span.from_ms <= HOURLY_DAYS * DAY_MS


def _over_time(
    caller: Caller, span: Span, sums: dict[Bucket, Amounts], split: Split, zone: tzinfo
) -> dict[tuple[str, str], Amounts]:
    """Errors: ValidationFailed when an hourly span holds more records than one request can add up."""
    return usage_sums().by_hour(caller.account_id, span, split, zone) if _is_hourly(span) else by_day(sums, split)


def _rows(amounts: dict[str, Amounts], names: dict[str, str]) -> list[tuple[str, Amounts]]:
    return [(names.get(key, key), amount) for key, amount in amounts.items()]


def limits_left(overview: Overview, now: int) -> list[LimitLeft]:
    grant, limits, now_ns = overview.grant, overview.limits, now * 1_000_000
    running = sum(not lease.expired(now) for lease in grant.leases.values())
    month_ends = _("Resets %(day)s (UTC)", day=day(period_ends_ms(overview.period)))
    at_once = max(0, limits.concurrency - running)
    used = _("%(count)s running", count=running) if running else _("Full")
    money = []
    if (allowed := grant.monthly_micro_usd) is not None:
        left = max(0, allowed - (overview.cost_micro_usd or 0))
        money.append(LimitLeft(_("Dollars a month"), allowed, left, month_ends, is_money=True))
    return [
        _bucket(_("Requests a minute"), limits.rpm, grant.tat_requests_ns, now_ns),
        _bucket(_("Tokens a minute"), limits.tpm, grant.tat_tokens_ns, now_ns),
        LimitLeft(_("Concurrent requests"), limits.concurrency, at_once, used),
        LimitLeft(
            _("Tokens a month"), limits.monthly_tokens, max(0, limits.monthly_tokens - overview.tokens), month_ends
        ),
        *money,
    ]


def _bucket(name: str, limit: int, tat_ns: int, now_ns: int) -> LimitLeft:
    if limit == 0:
        return LimitLeft(name, 0, 0, _("None allowed"))
    seconds = -(-buckets.full_in_ns(tat_ns, now_ns) // buckets.SECOND_NS)
    resets = _("Resets in %(seconds)s s", seconds=seconds) if seconds else _("Full")
    return LimitLeft(name, limit, buckets.remaining_units(tat_ns, limit, now_ns), resets)


def names_of(account_id: str, *, hinted: bool = True) -> dict[str, str]:
    """The names of API tokens by id, for their owner with their hints, because two tokens may have the same name."""
    rows = [one.row for one in tokens().all(account_id, now_ms())]
    named = {row.token_id: f"{row.name} (…{row.hint})" if hinted else row.name for row in rows}
    return {PLAYGROUND: _("playground"), **named}
