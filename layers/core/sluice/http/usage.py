"""Requests and answers of `/usage…`."""

from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, WithJsonSchema

from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.domain.gateway.contents import LoggedContent
from sluice.domain.periods import rfc3339
from sluice.domain.usage.calls import attempt_of
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.pricing import usd
from sluice.domain.usage.refusals import Refusal
from sluice.domain.usage.usage import Amounts, Bucket, Group, grouped, total
from sluice.http.lazy_model import BaseModel

if TYPE_CHECKING:
    from sluice.services.usage.logs import LogPage
    from sluice.services.usage.refusals import RefusalReport

Moment = Annotated[
    str,
    Field(max_length=64),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}),
]
Filter = Annotated[str, Field(max_length=200)]  # an empty one filters nothing, because a form sends empty fields

Zone = Annotated[
    str,
    Field(
        max_length=64,
        description="IANA name of the time zone whose days `from`, `to` and the rows are; default: UTC",
        examples=["Europe/Berlin"],
    ),
]


class UsageQuery(BaseModel):
    from_: Moment | None = Field(None, alias="from", description="the first day or moment; default: this month's first")
    to: Moment | None = Field(None, description="the last day, or the first moment outside; default: today")
    group_by: Literal["day", "model", "token"] = "day"
    tz: Zone | None = None


class RefusalsQuery(BaseModel):
    from_: Moment | None = Field(None, alias="from", description="the first day; default: this month's first")
    to: Moment | None = Field(None, description="the last day; default: today")


class RefusedCount(BaseModel):
    day: str = Field(description="UTC")
    token_id: str = Field(description="`other`: of API tokens past the 200 counters that a day has room for")
    code: str
    count: int


class LastRefusal(BaseModel):
    id: str = Field(description="the server's request id (`x-sluice-request-id`)")
    created_at: str
    token_id: str
    code: str
    status: int
    endpoint: str = Field(description="the route, without ids")

    @classmethod
    def of(cls, refusal: Refusal) -> "LastRefusal":
        return cls(
            id=refusal.request_id,
            created_at=rfc3339(refusal.at_ms),
            token_id=refusal.token_id,
            code=refusal.code,
            status=refusal.status,
            endpoint=refusal.endpoint,
        )


class RefusalsAnswer(BaseModel):
    data: list[RefusedCount]
    last: list[LastRefusal] = Field(description="the last 50, newest first")

    @classmethod
    def of(cls, report: "RefusalReport") -> Self:
        counts = [
            RefusedCount(day=day.day, token_id=token_id, code=code, count=count)
            for day in report.days
            for (token_id, code), count in sorted(day.counts.items())
        ]
        return cls(data=counts, last=[LastRefusal.of(one) for _, one in report.last])


class LogsQuery(BaseModel):
    limit: int = Field(20, ge=1, le=100)
    cursor: Filter | None = Field(None, description="`next_cursor` of the previous page")
    token_id: Filter | None = None
    model: Filter | None = None


class UsageTotal(BaseModel):
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None = Field(description="null: no request had a price")

    @classmethod
    def of(cls, amounts: Amounts) -> Self:
        return cls.like(amounts, cost_usd=usd(amounts.cost_micro_usd))


class UsageRow(BaseModel):
    key: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None = Field(description="null: no request had a price")


class UsageReport(BaseModel):
    data: list[UsageRow]
    total: UsageTotal

    @classmethod
    def of(cls, sums: Mapping[Bucket, Amounts], group: Group) -> "UsageReport":
        rows = [UsageRow.like(UsageTotal.of(amounts), key=key) for key, amounts in grouped(sums, group).items()]
        return cls(data=rows, total=UsageTotal.of(total(sums)))


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
    estimated_cost_usd: float | None = Field(description="null: the model had no price")
    response_time_ms: int | None
    ttft_ms: int | None
    finish_reason: str | None
    upstream: str | None = Field(description="the model server that answered, or was asked last; null: none was")
    estimated: bool = Field(description="whether the counts are made from the text, because that server told none")
    call_id: str = Field(
        "", description="the `id` of the call's first attempt; absent unless its client numbers attempts"
    )
    retry_count: int = Field(
        0, description="as `x-stainless-retry-count` said; absent unless its client numbers attempts"
    )
    prompt: str = Field("", description="absent unless it was kept and its retention is not over")
    response: str = Field("", description="absent unless it was kept and its retention is not over")

    @classmethod
    def of(cls, record: LedgerRecord, content: LoggedContent | None, call_id: str | None) -> "LogEntry":
        more: dict[str, Any] = {"prompt": content.prompt, "response": content.response} if content else {}
        if call_id:
            more |= {"call_id": call_id, "retry_count": attempt_of(record)}
        cost = usd(record.cost_micro_usd)
        created = rfc3339(record.created_ms)
        return cls.like(record, id=record.request_id, created_at=created, estimated_cost_usd=cost, **more)


class LogsPage(BaseModel):
    data: list[LogEntry]
    next_cursor: str | None

    @classmethod
    def of(cls, page: "LogPage") -> "LogsPage":
        entries = [LogEntry.of(record, content, page.calls.get(record.request_id)) for record, content in page.entries]
        return cls(data=entries, next_cursor=page.next_cursor)


OF_THE_MACHINE = frozenset({"localtime", "posixrules", "Factory"})  # files beside the zones, which are no zone's name


def zone_of(name: str | None) -> tzinfo:
    """Errors: ValidationFailed (`tz`)."""
    if not name or name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # here, because most requests name no zone

    refusal = ValidationFailed((FieldProblem("tz", "The IANA name of a time zone is expected (Europe/Berlin)."),))
    if name in OF_THE_MACHINE:
        raise refusal
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as exc:  # a path, a folder, or unknown
        raise refusal from exc
