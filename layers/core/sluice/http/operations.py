"""Request and answer models of `/admin/…`."""

from datetime import tzinfo
from typing import Annotated, Literal, Self

from flask import Response
from pydantic import Field

from sluice.domain.accounts.audit import AuditEvent
from sluice.domain.periods import rfc3339
from sluice.domain.spans import parse_span
from sluice.domain.usage.pricing import dollars, usd
from sluice.domain.usage.usage import Amounts
from sluice.http.accounts.requests import AccountInfo, User
from sluice.http.csv_file import Cell, csv_download, csv_lines
from sluice.http.lazy_model import BaseModel
from sluice.http.spool import spooled
from sluice.http.usage import LastRefusal, RefusalsQuery, RefusedCount, UsageTotal, Zone, zone_of
from sluice.services.accounts.profile import Overview
from sluice.services.usage.everyone import DayOfAccount, EveryonesUsage
from sluice.services.usage.refusals import RefusalReport
from sluice.wiring.usage import everyones_sums

MAX_LIMIT = 10**12
Limit = Annotated[int, Field(strict=True, ge=0, le=MAX_LIMIT)]
Text = Annotated[str, Field(max_length=200)]  # may be empty, because a form sends an empty field
Cursor = Annotated[str, Field(max_length=200, description="`next_cursor` of the previous page")]


class UsersQuery(BaseModel):
    query: Text | None = Field(None, description="part of an address or of a name, or an id")
    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=100)


class ListedUsersQuery(UsersQuery):
    sort: Literal["tokens", "cost", "last_seen", "created"] | None = Field(
        None, description="most tokens or dollars of this month first, or the latest first"
    )


class UserRow(User):
    status: str = Field(description="`pending` (not verified yet), `active` or `suspended`")


class UserPage(BaseModel):
    data: list[UserRow]
    next_cursor: str | None


class UserInfo(AccountInfo):
    status: str
    verified_at: str | None
    store_content: bool

    @classmethod
    def detail(cls, found: Overview) -> "UserInfo":
        account = found.account
        return cls.like(
            AccountInfo.of_overview(found),
            status=account.status,
            verified_at=None if account.verified_ms is None else rfc3339(account.verified_ms),
            store_content=account.store_content,
        )


class LimitsBody(BaseModel):
    """Omitted limits stay unchanged; 0 allows none."""

    rpm: Limit | None = Field(None, description="requests a minute")
    tpm: Limit | None = Field(None, description="tokens a minute")
    concurrency: Limit | None = Field(None, description="requests at once")
    monthly_tokens: Limit | None = None


class PlanBody(BaseModel):
    plan: str = Field(max_length=64, description="the name of one of the owner's plans")


class AdminUsageQuery(BaseModel):
    from_: Text | None = Field(None, alias="from", description="the first day; default: this month's first")
    to: Text | None = Field(None, description="the last day; default: today")
    group_by: Literal["day", "model", "token", "account"] = "day"


class UsageCsvQuery(BaseModel):
    from_: Text | None = Field(None, alias="from", description="the first day; default: this month's first")
    to: Text | None = Field(None, description="the last day; default: today")
    tz: Zone | None = None

    def file(self, now_ms: int) -> Response:
        """Reads all of it, or a long way, before the first byte, so that a failing store gives a 503.
        Errors: ValidationFailed, StoreUnavailable."""
        zone = zone_of(self.tz)
        rows = everyones_sums().table(parse_span(self.from_ or None, self.to or None, now_ms, zone), zone)
        return csv_download(spooled(csv_lines(USAGE_COLUMNS, (_cells(row, zone) for row in rows))), "sluice-usage.csv")


USAGE_COLUMNS = (
    *("day", "time_zone", "account_id", "email", "model"),
    *("requests", "prompt_tokens", "completion_tokens", "cost_usd", "upstream_usd"),
)


def _cells(row: DayOfAccount, zone: tzinfo) -> list[Cell]:
    used = row.amounts
    named: list[Cell] = [row.day, str(zone), row.account_id, row.email, row.model]
    cost = None if used.cost_micro_usd is None else dollars(used.cost_micro_usd)
    return [*named, used.requests, used.prompt_tokens, used.completion_tokens, cost, dollars(used.upstream_micro_usd)]


class AdminUsageTotal(UsageTotal):
    upstream_usd: float = Field(description="what the upstreams cost you, as far as they have prices or bounds")

    @classmethod
    def of(cls, amounts: Amounts) -> Self:
        costs = {"cost_usd": usd(amounts.cost_micro_usd), "upstream_usd": usd(amounts.upstream_micro_usd)}
        return cls.like(amounts, **costs)


class AdminUsageRow(AdminUsageTotal):
    key: str


class TopAccount(AdminUsageTotal):
    id: str
    email: str | None = Field(description="null if the account was deleted")


class AdminUsage(BaseModel):
    data: list[AdminUsageRow]
    total: AdminUsageTotal
    top_accounts: list[TopAccount] = Field(description="the ten that used most tokens, in descending order")
    complete: bool = Field(description="false if there was too much to sum in one request")

    @classmethod
    def of(cls, found: EveryonesUsage, group: Literal["day", "model", "token", "account"]) -> "AdminUsage":
        total = AdminUsageTotal.of
        return cls(
            data=[AdminUsageRow.like(total(each), key=key) for key, each in found.grouped(group).items()],
            total=total(found.total),
            top_accounts=[
                TopAccount.like(total(each), id=key, email=found.emails.get(key)) for key, each in found.top()
            ],
            complete=found.complete,
        )


class AdminRefusalsQuery(RefusalsQuery):
    cursor: Cursor | None = None


class AdminRefusedCount(RefusedCount):
    account_id: str


class AdminLastRefusal(LastRefusal):
    account_id: str


class AdminRefusals(BaseModel):
    data: list[AdminRefusedCount]
    last: list[AdminLastRefusal] = Field(description="the last 50 of this page's accounts, newest first")
    next_cursor: str | None

    @classmethod
    def of(cls, report: RefusalReport) -> "AdminRefusals":
        counts = [
            AdminRefusedCount(account_id=day.account_id, day=day.day, token_id=token_id, code=code, count=count)
            for day in report.days
            for (token_id, code), count in sorted(day.counts.items())
        ]
        last = [AdminLastRefusal(account_id=who, **LastRefusal.of(one).model_dump()) for who, one in report.last]
        return cls(data=counts, last=last, next_cursor=report.next_cursor)


class AuditQuery(BaseModel):
    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=100)


class AuditEventInfo(BaseModel):
    id: str
    created_at: str
    action: str
    actor: str = Field(description="the acting account; `operator`: the `sluice` command; empty: unknown")
    target: str = Field(description="the account concerned; empty if there is none")
    before: dict[str, str | int]
    after: dict[str, str | int]
    client: str = Field(description="the network address of the request, if it is known and kept")

    @classmethod
    def of(cls, event: AuditEvent) -> "AuditEventInfo":
        return cls.like(event, id=event.event_id, created_at=rfc3339(event.created_ms))


class AuditPage(BaseModel):
    data: list[AuditEventInfo]
    next_cursor: str | None
