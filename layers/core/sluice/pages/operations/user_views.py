"""What an admin may see of one user beside the account: usage, the request log and API tokens. Amounts and names only,
never a prompt, a response or an API token itself."""

from typing import Literal

from flask import Response, request
from pydantic import BaseModel, Field

from sluice.domain import errors
from sluice.domain.accounts.account import Account
from sluice.domain.periods import day_of
from sluice.domain.spans import Span
from sluice.domain.usage.ledger import LogFilter
from sluice.domain.usage.usage import Amounts, Bucket, by_day, grouped, total
from sluice.http.admin import checked_user_id
from sluice.http.auth import Caller, now_ms
from sluice.http.operation import validated
from sluice.pages import forms
from sluice.pages.blueprints import admins, pages
from sluice.pages.operations.admin import SCRIPTS, AllUsageQuery
from sluice.pages.render import page
from sluice.pages.usage.usage import chosen_span, names_of, presets
from sluice.services.usage.logs import LogPage
from sluice.wiring.operations import all_users
from sluice.wiring.tokens import tokens
from sluice.wiring.usage import refusals, usage_log, usage_sums

blueprint = pages("manage_user_views")
LOG_ROWS = 50


class UserLogQuery(BaseModel):
    cursor: str = Field("", max_length=200)
    status: Literal["", "answered", "failed"] = ""

    def found(self, account_id: str) -> LogPage:
        """Errors: ValidationFailed (a malformed cursor)."""
        wanted = LogFilter(answered=None if not self.status else self.status == "answered")
        return usage_log().amounts(account_id, wanted, limit=LOG_ROWS, cursor=self.cursor or None)


def _account(user_id: str) -> Account:
    """Errors: NotFound."""
    return all_users().find(checked_user_id(user_id), now_ms())


@blueprint.get("/manage/users/<user_id>/usage")
@admins
def usage(caller: Caller, user_id: str) -> Response:
    account, now, form, status = _account(user_id), now_ms(), forms.Form(request.args.to_dict()), 200
    asked, span = AllUsageQuery.model_validate({}), Span(now, now)
    sums: dict[Bucket, Amounts] = {}
    try:
        asked = validated(AllUsageQuery, request.args.to_dict())
        span = chosen_span(asked, now)
        sums = usage_sums().by_bucket(user_id, span, now)
    except errors.ValidationFailed as exc:
        form, status = form.with_problems(exc.problems), 422
    return page(
        "manage_user_usage.html",
        status,
        scripts=SCRIPTS,
        account=account,
        path_here=request.path,
        form=form,
        presets=presets(now),
        total=total(sums),
        rows=[(day, key, amounts) for (day, key), amounts in by_day(sums, asked.split).items()],
        models=[*grouped(sums, "model").items()],
        first=day_of(span.from_ms),
        last=day_of(max(span.from_ms, min(span.to_ms, now) - 1)),
        split=asked.split,
        refused=refusals().of_account(user_id, span),
        names=names_of(user_id, hinted=False),
    )


@blueprint.get("/manage/users/<user_id>/log")
@admins
def log(caller: Caller, user_id: str) -> Response:
    account, asked = _account(user_id), validated(UserLogQuery, request.args.to_dict())
    found = asked.found(user_id)
    return page(
        "manage_user_log.html",
        account=account,
        path_here=request.path,
        asked=asked,
        log=found,
        names=names_of(user_id, hinted=False),
    )


@blueprint.get("/manage/users/<user_id>/tokens")
@admins
def api_tokens(caller: Caller, user_id: str) -> Response:
    account = _account(user_id)
    return page("manage_user_tokens.html", account=account, tokens=tokens().all(user_id, now_ms()))
