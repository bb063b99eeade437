"""Requests and answers of `/usage…`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, WithJsonSchema

from sluice.domain.gateway.contents import LoggedContent
from sluice.domain.periods import rfc3339
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.pricing import usd
from sluice.domain.usage.usage import Amounts, Bucket, Group, grouped, total
from sluice.http.lazy_model import BaseModel

if TYPE_CHECKING:
    from sluice.services.usage.logs import LogPage

Moment = Annotated[
    str,
    Field(max_length=64),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}),
]
Filter = Annotated[str, Field(max_length=200)]  # an empty one filters nothing, because a form sends empty fields


class UsageQuery(BaseModel):
    from_: Moment | None = Field(None, alias="from", description="the first day or moment; default: this month's first")
    to: Moment | None = Field(None, description="the last day, or the first moment outside; default: today")
    group_by: Literal["day", "model", "token"] = "day"


class LogsQuery(BaseModel):
    limit: int = Field(20, ge=1, le=100)
    cursor: Filter | None = Field(None, description="`next_cursor` of the previous page")
    token_id: Filter | None = None
    model: Filter | None = None


class UsageTotal(BaseModel):
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float

    @classmethod
    def of(cls, amounts: Amounts) -> Self:
        return cls.like(amounts, cost_usd=usd(amounts.cost_micro_usd))


class UsageRow(BaseModel):
    key: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


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
    estimated_cost_usd: float
    response_time_ms: int | None
    ttft_ms: int | None
    finish_reason: str | None
    prompt: str = Field("", description="absent unless it was kept and its retention is not over")
    response: str = Field("", description="absent unless it was kept and its retention is not over")

    @classmethod
    def of(cls, record: LedgerRecord, content: LoggedContent | None) -> "LogEntry":
        texts = {"prompt": content.prompt, "response": content.response} if content else {}
        cost = usd(record.cost_micro_usd)
        created = rfc3339(record.created_ms)
        return cls.like(record, id=record.request_id, created_at=created, estimated_cost_usd=cost, **texts)


class LogsPage(BaseModel):
    data: list[LogEntry]
    next_cursor: str | None

    @classmethod
    def of(cls, page: "LogPage") -> "LogsPage":
        entries = [LogEntry.of(record, content) for record, content in page.entries]
        return cls(data=entries, next_cursor=page.next_cursor)
