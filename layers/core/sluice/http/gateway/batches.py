"""`/v1/batches`: OpenAI's Batch API, its forms and its four calls."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from sluice.domain.batches import ENDPOINTS, Batch
from sluice.domain.errors import InsufficientScope
from sluice.domain.tokens import Claims
from sluice.http.fields import Key, Loose, Value
from sluice.http.gateway.background import told_claims
from sluice.http.gateway.bearer import authenticate
from sluice.http.lazy_model import BaseModel
from sluice.http.operation import parse_body, validated
from sluice.wiring.gateway import gateway
from sluice.wiring.runs import batches

SCOPE = "batches"
MAX_METADATA = 16


class CreateBatchBody(Loose):
    input_file_id: Annotated[str, Field(max_length=64)] = Field(
        description="a file of the purpose `batch`: a line of JSON for each request, with `custom_id`, `method`, `url` "
        "and `body`"
    )
    endpoint: Literal[tuple(ENDPOINTS)] = Field(description="the `url` of each line")  # type: ignore[valid-type]
    completion_window: Literal["24h"]
    metadata: Annotated[dict[Key, Value], Field(max_length=MAX_METADATA)] | None = None
    output_expires_after: None = Field(None, description="not supported: files stay until they are deleted")


class BatchesQuery(BaseModel):
    after: Annotated[str, Field(max_length=128)] | None = Field(None, description="the last id of the previous page")
    limit: int = Field(20, ge=1, le=100)


class BatchFault(BaseModel):
    code: str
    line: int | None = Field(description="from 1")
    message: str
    param: str | None


class BatchFaults(BaseModel):
    object: Literal["list"] = "list"
    data: list[BatchFault]


class RequestCounts(BaseModel):
    total: int
    completed: int
    failed: int


class BatchObject(BaseModel):
    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    errors: BatchFaults | None = Field(description="with `failed`: what is wrong with the input file")
    input_file_id: str
    completion_window: Literal["24h"] = "24h"
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    output_file_id: str | None = Field(description="the answers, a line each")
    error_file_id: str | None = Field(description="the requests without an answer, a line each")
    created_at: int = Field(description="Unix seconds, as all `…_at`")
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str] | None

    @classmethod
    def of(cls, batch: Batch) -> "BatchObject":
        total, completed, failed = batch.counts
        names = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
        times = {f"{name}_at": at // 1000 if (at := batch.times.get(name)) else None for name in names}
        return cls.like(
            batch,
            id=batch.batch_id,
            errors=BatchFaults(data=[BatchFault(**one) for one in batch.errors]) if batch.errors else None,
            created_at=batch.created_ms // 1000,
            expires_at=batch.expires_ms // 1000,
            request_counts=RequestCounts(total=total, completed=completed, failed=failed),
            metadata=dict(batch.metadata) or None,
            **times,
        )


class BatchListing(BaseModel):
    object: Literal["list"] = "list"
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


def create() -> BatchObject:
    """It counts as a request a minute. Errors: as `Gateway.charge_request` and `Batches.create`."""
    claims = authenticate(SCOPE)
    with gateway().form_counted(claims):
        body = parse_body(CreateBatchBody)
        _check_scope(claims, ENDPOINTS[body.endpoint])
    gateway().charge_request(claims)
    told = json.dumps(told_claims(claims))
    made = batches().create(claims.account_id, body.endpoint, body.input_file_id, body.metadata or {}, told)
    return BatchObject.of(made)


def _check_scope(claims: Claims, scope: str) -> None:
    if scope not in claims.scopes:
        raise InsufficientScope(f"This API token lacks the scope {scope!r}.")


def _account() -> str:
    """Reading and cancelling count against no limit. Errors: InvalidApiToken, InsufficientScope, AccountSuspended."""
    claims = authenticate(SCOPE)
    gateway().check_caller(claims)
    return claims.account_id


def listed(arguments: dict[str, Any]) -> BatchListing:
    claims = authenticate(SCOPE)
    with gateway().authentication_first(claims):
        query = validated(BatchesQuery, arguments)
    gateway().check_caller(claims)
    found, more = batches().page(claims.account_id, limit=query.limit, after_id=query.after)
    ends = (found[0].batch_id, found[-1].batch_id) if found else (None, None)
    shown = [BatchObject.of(batch) for batch in found]
    return BatchListing(data=shown, first_id=ends[0], last_id=ends[1], has_more=more)


def one(batch_id: str) -> BatchObject:
    return BatchObject.of(batches().get(_account(), batch_id))


def cancelled(batch_id: str) -> BatchObject:
    return BatchObject.of(batches().cancel(_account(), batch_id))
