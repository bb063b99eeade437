"""The log of the user's requests, newest first: as pages, with the stored content, and as CSV."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from flask import Response, request
from pydantic import BaseModel, Field, StringConstraints

from sluice.domain import errors
from sluice.domain.ids import request_time_ms
from sluice.domain.periods import rfc3339
from sluice.domain.spans import Span, parse_span
from sluice.domain.usage.ledger import LedgerRecord, LogFilter
from sluice.domain.usage.pricing import dollars
from sluice.domain.usage.refusals import Refusal
from sluice.http.auth import Caller, now_ms
from sluice.http.csv_file import Cell, csv_download, csv_lines
from sluice.http.operation import validated
from sluice.pages import forms
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page
from sluice.pages.usage.usage import names_of
from sluice.pages.zone import browsers_zone
from sluice.services.usage.logs import LogPage
from sluice.wiring.usage import refusals, usage_log

blueprint = pages("log")
LOG_ROWS = 20
OF_ANSWER = re.compile(r"(?:chatcmpl|cmpl|resp|msg)[-_]")  # an answer's id has the random part of its request's
CSV_ROWS = 10_000  # about 2 MB; a Lambda function's answer is limited to 6 MB


class LogQuery(BaseModel):
    cursor: str = Field("", max_length=200)
    id: Annotated[str, Field(max_length=64), StringConstraints(strip_whitespace=True)] = ""
    from_: str = Field("", alias="from", max_length=64)
    to: str = Field("", max_length=64)
    token_id: str = Field("", max_length=200)
    model: str = Field("", max_length=200)
    status: Literal["", "answered", "failed"] = ""

    @property
    def request_id(self) -> str:
        return OF_ANSWER.sub("req_", self.id, count=1)

    def filters(self) -> dict[str, str]:
        """The filters as query parameters of a link."""
        return self.model_dump(by_alias=True, exclude={"cursor", "id"})

    @property
    def answered(self) -> bool | None:
        return None if not self.status else self.status == "answered"

    def _span(self) -> Span:
        return parse_span(self.from_ or "1970-01-01", self.to or None, now_ms(), browsers_zone())

    def wanted(self) -> LogFilter:
        """Errors: ValidationFailed."""
        span = self._span() if self.from_ or self.to else None
        return LogFilter(self.token_id or None, self.model or None, span, self.answered)


@blueprint.get("/my/usage/log")
@members
def log(caller: Caller) -> Response:
    form, status, found = forms.Form(request.args.to_dict()), 200, LogPage([], None)
    asked, refusal = LogQuery.model_validate({}), None
    try:
        asked = validated(LogQuery, request.args.to_dict())
        found = _found(caller.account_id, asked)
        if asked.id and not found.entries:
            refusal = _refusal(caller.account_id, asked.request_id)
    except errors.ValidationFailed as exc:
        if any(problem.field == "cursor" for problem in exc.problems):
            raise  # not from a form field, so show the error page for a wrong link
        form, status = form.with_problems(exc.problems), 422
    return page(
        "log.html",
        status,
        log=found,
        asked=asked,
        refusal=refusal,
        names=names_of(caller.account_id),
        form=form,
        csv_rows=CSV_ROWS,
        zone=browsers_zone(),
        attempts=_attempts(found),
    )


def _found(account_id: str, asked: LogQuery) -> LogPage:
    """With an id the one request that has it, whatever the filters and its day. Errors: ValidationFailed."""
    if asked.id:
        return usage_log().one(account_id, asked.request_id, now_ms())
    cursor = asked.cursor or None
    return usage_log().page(account_id, asked.wanted(), limit=LOG_ROWS, cursor=cursor, now_ms=now_ms())


def _refusal(account_id: str, request_id: str) -> Refusal | None:
    try:
        made_ms = request_time_ms(request_id)
    except ValueError:
        return None
    return refusals().one(account_id, request_id, made_ms) if made_ms <= now_ms() else None


def _attempts(found: LogPage) -> dict[str, list[str]]:
    """Request ids by the id of their call, the first attempt first."""
    attempts: dict[str, list[str]] = {}
    for request_id in sorted(found.calls):
        attempts.setdefault(found.calls[request_id], []).append(request_id)
    return attempts


@blueprint.get("/my/usage/log.csv")
@members
def log_csv(caller: Caller) -> Response:
    """Reads everything before the first byte is sent, so that a failing store gives a 503 and not half a file."""
    asked = validated(LogQuery, request.args.to_dict())
    names = names_of(caller.account_id)
    records = usage_log().newest(caller.account_id, asked.wanted(), CSV_ROWS)
    lines = [*csv_lines(CSV_COLUMNS, ([*_cells(record, names)] for record in records))]
    return csv_download(lines, "sluice-log.csv")


CSV_COLUMNS = (
    "id", "created_at", "endpoint", "model", "token_id", "token", "stream", "status", "prompt_tokens",
    "completion_tokens", "total_tokens", "estimated_cost_usd", "response_time_ms", "ttft_ms", "finish_reason",
    "upstream", "estimated",
)  # fmt: skip


def _cells(record: LedgerRecord, names: dict[str, str]) -> Iterator[Cell]:
    yield from (record.request_id, rfc3339(record.created_ms), record.endpoint, record.model, record.token_id)
    yield from (names.get(record.token_id, ""), record.stream, record.status)
    yield from (record.prompt_tokens, record.completion_tokens, record.total_tokens)
    yield None if record.cost_micro_usd is None else dollars(record.cost_micro_usd)
    yield from (record.response_time_ms, record.ttft_ms, record.finish_reason, record.upstream, record.estimated)
