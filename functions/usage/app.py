"""`/usage` and `/usage/logs`: the caller's own usage, exact at the time of the request, and their own requests."""

from typing import Any

from flask import Blueprint

from sluice.domain import errors
from sluice.domain.spans import parse_span
from sluice.http.auth import Caller, now_ms
from sluice.http.on_lambda import wsgi
from sluice.http.operation import Auth, operation
from sluice.http.usage import LogsPage, LogsQuery, RefusalsAnswer, RefusalsQuery, UsageQuery, UsageReport, zone_of
from sluice.pages.usage import log as log_pages
from sluice.pages.usage import usage as usage_pages
from sluice.services.usage.logs import LogFilter
from sluice.wiring.usage import refusals, usage_log, usage_sums

blueprint = Blueprint("usage", __name__)
blueprint.register_blueprint(usage_pages.blueprint)
blueprint.register_blueprint(log_pages.blueprint)


@blueprint.get("/usage")
@operation(
    "Usage by day, model or API token",
    tag="Usage",
    auth=Auth.SESSION,
    query=UsageQuery,
    answers={200: UsageReport},
    errors=(errors.ValidationFailed, errors.StoreUnavailable),
    description="Includes every finished request. Rows are in the order of their key. Days add up to their range in "
    "every time zone, through changes of its clocks. With `tz`, at most 50,000 requests can be added up.",
)
def usage(caller: Caller, query: UsageQuery) -> UsageReport:
    now, zone = now_ms(), zone_of(query.tz)
    span = parse_span(query.from_, query.to, now, zone)
    sums = usage_sums().by_day_of(zone, caller.account_id, span, now)
    return UsageReport.of(sums, query.group_by)


@blueprint.get("/usage/refusals")
@operation(
    "One's refused requests: counts by day, API token and error code, and the last 50",
    tag="Usage",
    auth=Auth.SESSION,
    query=RefusalsQuery,
    answers={200: RefusalsAnswer},
    errors=(errors.ValidationFailed, errors.StoreUnavailable),
    description="Requests on `/v1` that named an API token of the account, and the playground's (`playground`). Whole "
    "UTC days, kept for 90; written about once a second, so a killed process loses what it counted since.",
)
def refused(caller: Caller, query: RefusalsQuery) -> RefusalsAnswer:
    span = parse_span(query.from_, query.to, now_ms())
    return RefusalsAnswer.of(refusals().of_account(caller.account_id, span))


@blueprint.get("/usage/logs")
@operation(
    "One's own requests, newest first",
    tag="Usage",
    auth=Auth.SESSION,
    query=LogsQuery,
    answers={200: LogsPage},
    errors=(errors.ValidationFailed, errors.StoreUnavailable),
    description="Repeat with `cursor=next_cursor` until it is null. With filters a page may be shorter than `limit`.",
)
def logs(caller: Caller, query: LogsQuery) -> dict[str, Any]:
    wanted = LogFilter(query.token_id or None, query.model or None)
    page = usage_log().page(caller.account_id, wanted, limit=query.limit, cursor=query.cursor or None, now_ms=now_ms())
    return LogsPage.of(page).model_dump(exclude_unset=True)


def handler(event: dict[str, Any], context: object) -> Any:
    """API Gateway's proxy event (AWS Lambda)."""
    return wsgi(blueprint)(event, context)
