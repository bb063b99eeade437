"""`/usage` and `/usage/logs`: the caller's own usage, exact at the time of the request, and their own requests."""

from functools import partial
from typing import Any

from flask import Blueprint

from sluice.domain.spans import parse_span
from sluice.domain.usage.ledger import LogFilter
from sluice.http.auth import Caller, now_ms
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import Auth, operation
from sluice.http.usage import LogsPage, LogsQuery, RefusalsAnswer, RefusalsQuery, UsageQuery, UsageReport, zone_of
from sluice.pages.usage import log as log_pages
from sluice.pages.usage import usage as usage_pages
from sluice.wiring.usage import refusals, usage_log, usage_sums

blueprint = Blueprint("usage", __name__)
blueprint.register_blueprint(usage_pages.blueprint)
blueprint.register_blueprint(log_pages.blueprint)
documented = partial(operation, tag="Usage", auth=Auth.SESSION)


@blueprint.get("/usage")
@documented(
    "Usage by day, model or API token",
    description="Includes every finished request. Rows are in the order of their key. Days add up to their range in "
    "every time zone, through changes of its clocks. With `tz`, at most 50,000 requests can be added up.",
)
def usage(caller: Caller, query: UsageQuery) -> UsageReport:
    now, zone = now_ms(), zone_of(query.tz)
    span = parse_span(query.from_, query.to, now, zone)
    sums = usage_sums().by_day_of(zone, caller.account_id, span, now)
    return UsageReport.of(sums, query.group_by)


@blueprint.get("/usage/refusals")
@documented(
    "One's refused requests: counts by day, API token and error code, and the last 50",
    description="Requests on `/v1` that named an API token of the account, and the playground's (`playground`). Whole "
    "UTC days, kept for 90; written about once a second, so a killed process loses what it counted since.",
)
def refused(caller: Caller, query: RefusalsQuery) -> RefusalsAnswer:
    span = parse_span(query.from_, query.to, now_ms())
    return RefusalsAnswer.of(refusals().of_account(caller.account_id, span))


@blueprint.get("/usage/logs")
@documented(
    "One's own requests, newest first",
    answers={200: LogsPage},
    description="Repeat with `cursor=next_cursor` until it is null. With filters a page may be shorter than `limit`.",
)
def logs(caller: Caller, query: LogsQuery) -> dict[str, Any]:
    wanted = LogFilter(query.token_id or None, query.model or None)
    page = usage_log().page(caller.account_id, wanted, limit=query.limit, cursor=query.cursor or None, now_ms=now_ms())
    return LogsPage.of(page).model_dump(exclude_unset=True)


handler = lambda_handler(blueprint)
