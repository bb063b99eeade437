"""`/usage` and `/usage/logs`: a caller's own usage, exact at the moment of asking, and their own requests."""

from typing import Annotated, Any, Literal

from flask import Blueprint
from pydantic import BaseModel, Field, WithJsonSchema

from sluice.domain import errors
from sluice.domain.gateway.contents import LoggedContent
from sluice.domain.periods import rfc3339
from sluice.domain.spans import parse_span
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.pricing import usd
from sluice.domain.usage.usage import Amounts, grouped, total
from sluice.http.auth import Caller, now_ms
from sluice.http.on_lambda import wsgi
from sluice.http.operation import Auth, operation
from sluice.pages.usage import log as log_pages
from sluice.pages.usage import usage as usage_pages
from sluice.services.usage.logs import LogFilter
from sluice.wiring.usage import usage_log, usage_sums

blueprint = Blueprint("usage", __name__)
blueprint.register_blueprint(usage_pages.blueprint)
blueprint.register_blueprint(log_pages.blueprint)

Moment = Annotated[
    str,
    Field(max_length=64),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}),
]
Filter = Annotated[str, Field(max_length=200)]  # an empty one filters nothing, as a form sends it


class UsageQuery(BaseModel):
    from_: Moment | None = Field(None, alias="from", description="the first day or moment; default: this month's first")
    to: Moment | None = Field(None, description="the last day, or the first moment outside; default: today")
    group_by: Literal["day", "model", "token"] = "day"


class LogsQuery(BaseModel):
    limit: int = Field(20, ge=1, le=100)
    cursor: Filter | None = Field(None, description="`next_cursor` of the page before")
    token_id: Filter | None = None
    model: Filter | None = None


class UsageTotal(BaseModel):
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


class UsageRow(BaseModel):
    key: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


class UsageReport(BaseModel):
    data: list[UsageRow]
    total: UsageTotal


class LogEntry(BaseModel):
    id: str
    created_at: str
    endpoint: str
    model: str
    token_id: str
    stream: bool
    status: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    estimated_cost_usd: float
    response_time_ms: int | None
    ttft_ms: int | None
    finish_reason: str | None
    prompt: str = Field("", description="absent unless it was kept and its retention is not over")
    response: str = Field("", description="absent unless it was kept and its retention is not over")


class LogsPage(BaseModel):
    data: list[LogEntry]
    next_cursor: str | None


@blueprint.get("/usage")
@operation(
    "Usage by day, model or API token",
    tag="Usage",
    auth=Auth.SESSION,
    query=UsageQuery,
    answers={200: UsageReport},
    errors=(errors.ValidationFailed, errors.StoreUnavailable),
    description="Includes every finished request. Rows are in the order of their key.",
)
def usage(caller: Caller, query: UsageQuery) -> UsageReport:
    now = now_ms()
    span = parse_span(query.from_, query.to, now)
    sums = usage_sums().by_bucket(caller.account_id, span, now)
    rows = [UsageRow(key=key, **_amounts(amounts)) for key, amounts in grouped(sums, query.group_by).items()]
    return UsageReport(data=rows, total=UsageTotal(**_amounts(total(sums))))


@blueprint.get("/usage/logs")
@operation(
    "One's own requests, newest first",
    tag="Usage",
    auth=Auth.SESSION,
    query=LogsQuery,
    answers={200: LogsPage},
    errors=(errors.ValidationFailed, errors.StoreUnavailable),
    description="Go on with `cursor=next_cursor` until it is null. With filters a page may be shorter than `limit`.",
)
def logs(caller: Caller, query: LogsQuery) -> dict[str, Any]:
    wanted = LogFilter(query.token_id or None, query.model or None)
    page = usage_log().page(caller.account_id, wanted, limit=query.limit, cursor=query.cursor or None, now_ms=now_ms())
    entries = [_entry(record, exchange) for record, exchange in page.entries]
    return LogsPage(data=entries, next_cursor=page.next_cursor).model_dump(exclude_unset=True)


def _amounts(amounts: Amounts) -> dict[str, Any]:
    return {
        "requests": amounts.requests,
        "prompt_tokens": amounts.prompt_tokens,
        "completion_tokens": amounts.completion_tokens,
        "cost_usd": usd(amounts.cost_micro_usd),
    }


def _entry(record: LedgerRecord, exchange: LoggedContent | None) -> LogEntry:
    content = {"prompt": exchange.prompt, "response": exchange.response} if exchange else {}
    return LogEntry(
        id=record.request_id,
        created_at=rfc3339(record.created_ms),
        endpoint=record.endpoint,
        model=record.model,
        token_id=record.token_id,
        stream=record.stream,
        status=record.status,
        prompt_tokens=record.prompt_tokens,
        completion_tokens=record.completion_tokens,
        total_tokens=record.total_tokens,
        estimated_cost_usd=usd(record.cost_micro_usd),
        response_time_ms=record.response_time_ms,
        ttft_ms=record.ttft_ms,
        finish_reason=record.finish_reason,
        **content,
    )


def handler(event: dict[str, Any], context: object) -> Any:
    """API Gateway's proxy event (AWS Lambda)."""
    return wsgi(blueprint)(event, context)
