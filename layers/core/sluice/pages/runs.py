"""A member's batches: how far each is, its files, and a button that cancels it. The gateway's function serves it."""

from flask import Response, request
from pydantic import BaseModel, Field
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.http.auth import Caller
from sluice.http.operation import validated
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page, see
from sluice.pages.words import later, noted
from sluice.wiring.runs import batches

blueprint = pages("batches")
ON_A_PAGE = 25
NOTES = {
    "cancelled": later("The batch is being cancelled. Requests that run now still end."),
    "over": later("The batch had ended already."),
}


class AfterQuery(BaseModel):
    after: str = Field("", max_length=64)


@blueprint.get("/my/batches")
@members
def listed(caller: Caller) -> Response:
    after = validated(AfterQuery, request.args.to_dict()).after
    found, more = batches().page(caller.account_id, limit=ON_A_PAGE, after_id=after or None)
    return page("batches.html", batches=found, next_after=found[-1].batch_id if more else "", note=noted(NOTES))


@blueprint.post("/my/batches/<batch_id>/cancel")
@members
def cancel(caller: Caller, batch_id: str) -> AnyResponse:
    try:
        batches().cancel(caller.account_id, batch_id)
    except errors.Conflict:
        return see("/my/batches", note="over")
    return see("/my/batches", note="cancelled")
