"""What was used, what is left of each limit and when it is back, and every request of one's own."""

from dataclasses import dataclass

from flask import Response, request
from pydantic import BaseModel, Field

from sluice import wiring
from sluice.domain import buckets, errors
from sluice.domain.admission import Grant
from sluice.domain.periods import period_ends_ms
from sluice.domain.spans import parse_span
from sluice.domain.usage import Amounts, grouped, total
from sluice.http import calls
from sluice.http.auth import Caller, now_ms
from sluice.http.operation import validated
from sluice.pages import forms
from sluice.pages.blueprints import members, pages
from sluice.pages.render import moment, page
from sluice.services.account_overview import Overview
from sluice.services.list_tokens import ListedToken, list_tokens
from sluice.services.usage import usage_by_bucket
from sluice.services.usage_logs import usage_logs

blueprint = pages("usage")
LOG_ROWS = 20
PLAYGROUND = "playground"


class UsageQuery(BaseModel):
    from_: str = Field("", alias="from", max_length=64)
    to: str = Field("", max_length=64)


class LogQuery(BaseModel):
    cursor: str = Field("", max_length=200)
    token_id: str = Field("", max_length=200)
    model: str = Field("", max_length=200)


@dataclass(frozen=True)
class LimitLeft:
    """One limit, what is left of it at this moment, and when all of it is there again."""

    name: str
    limit: int
    left: int
    back: str


@blueprint.get("/my/usage")
@members
def usage(caller: Caller) -> Response:
    now, form, status = now_ms(), forms.Form(request.args.to_dict()), 200
    try:
        asked = validated(UsageQuery, request.args.to_dict())
        span = parse_span(asked.from_ or None, asked.to or None, now)
        sums = usage_by_bucket(wiring.ledger_reader(), wiring.rollup_store(), caller.account_id, span, now)
    except errors.ValidationFailed as exc:
        sums, form, status = {}, form.with_problems(exc.problems), 422
    names = _names(_tokens_of(caller))
    tables = [
        ("By day", "Day (UTC)", _rows(grouped(sums, "day"), {})),
        ("By model", "Model", _rows(grouped(sums, "model"), {})),
        ("By token", "API token", _rows(grouped(sums, "token"), names)),
    ]
    return page("usage.html", status, form=form, limits=_limits(caller, now), tables=tables, total=total(sums))


def _rows(amounts: dict[str, Amounts], names: dict[str, str]) -> list[tuple[str, Amounts]]:
    return [(names.get(key, key), amount) for key, amount in amounts.items()]


def _limits(caller: Caller, now: int) -> list[LimitLeft]:
    grant = wiring.hot_store().grant(caller.account_id)
    if grant is None:
        raise errors.NotFound()
    return limits_left(grant, calls.overview(caller), now)


def limits_left(grant: Grant, overview: Overview, now: int) -> list[LimitLeft]:
    limits, now_ns = grant.limits, now * 1_000_000
    running = sum(not lease.expired(now) for lease in grant.leases.values())
    return [
        _bucket("Requests a minute", limits.rpm, grant.tat_requests_ns, now_ns),
        _bucket("Tokens a minute", limits.tpm, grant.tat_tokens_ns, now_ns),
        LimitLeft(
            "Requests at once", limits.concurrency, max(0, limits.concurrency - running), "when running ones end"
        ),
        LimitLeft(
            "Tokens a month",
            limits.monthly_tokens,
            max(0, limits.monthly_tokens - overview.tokens),
            moment(period_ends_ms(overview.period)),
        ),
    ]


def _bucket(name: str, limit: int, tat_ns: int, now_ns: int) -> LimitLeft:
    if limit == 0:
        return LimitLeft(name, 0, 0, "none allowed")
    seconds = -(-buckets.full_in_ns(tat_ns, now_ns) // buckets.SECOND_NS)
    return LimitLeft(
        name, limit, buckets.remaining_units(tat_ns, limit, now_ns), f"in {seconds} s" if seconds else "all there"
    )


@blueprint.get("/my/usage/log")
@members
def log(caller: Caller) -> Response:
    tokens = _tokens_of(caller)
    asked = validated(LogQuery, request.args.to_dict())
    found = usage_logs(
        wiring.ledger_reader(),
        wiring.content_store(),
        caller.account_id,
        limit=LOG_ROWS,
        cursor=asked.cursor or None,
        token_id=asked.token_id or None,
        model=asked.model or None,
        now_ms=now_ms(),
    )
    names = {PLAYGROUND: "playground", **_names(tokens)}
    return page("log.html", log=found, asked=asked, names=names, form=forms.Form(asked.model_dump()))


def _tokens_of(caller: Caller) -> list[ListedToken]:
    return list_tokens(caller.account_id, tokens=wiring.token_store(), grants=wiring.grant_store(), now_ms=now_ms())


def _names(tokens: list[ListedToken]) -> dict[str, str]:
    """With the hint, because two tokens may have one name."""
    return {listed.row.token_id: f"{listed.row.name} (…{listed.row.hint})" for listed in tokens}
