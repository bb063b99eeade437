"""Domain events: what a change of a table means to the rest of the world (ADR 127). They hold ids, never content.

The change itself is the outbox, so nothing that was done goes untold, and nothing is told that was not done.
`happened` reads one change; a change that is read twice gives the same events with the same ids.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sluice.domain.batches import is_batch_id
from sluice.domain.ids import request_time_ms
from sluice.domain.periods import rfc3339
from sluice.domain.runs import Run
from sluice.domain.webhooks import event_id

SOURCE = "sluice"
Item = Mapping[str, Any]
NOTHING: Item = {}
LIVE, VERIFIED = ("queued", "in_progress"), ("active", "suspended")
RunStatus = Literal["completed", "incomplete", "failed", "cancelled", "expired"]


class DomainEvent(BaseModel):
    """Its class is its name, which is past tense."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(description="the same however often the event is published: drop repetitions by it")
    occurred_at: str = Field(description="RFC 3339, UTC")
    account_id: str

    @property
    def name(self) -> str:
        return type(self).__name__


class AccountRegistered(DomainEvent):
    """An account was made. Its address may not be verified yet."""


class AccountVerified(DomainEvent):
    """Its address was verified, so it can be used."""


class TokenIssued(DomainEvent):
    """An API token was made."""

    token_id: str
    kind: Literal["secret", "publishable"]
    expires_at: str


class TokenRevoked(DomainEvent):
    """An API token was revoked or deleted, alone or with its account."""

    token_id: str


class QuotaReached(DomainEvent):
    """An account has used so much of its model tokens of the month. Told once a month each."""

    percent: Literal[80, 100]
    period: str = Field(description="the month, `2026-11`")


class DocumentIngested(DomainEvent):
    """A file can be found by searches in a vector store."""

    file_id: str
    vector_store_id: str


class RunCompleted(DomainEvent):
    """A run has ended, in any way."""

    run_id: str
    kind: Literal["response", "chat", "batch"]
    response_id: str | None = Field(description="of a background response")
    status: RunStatus


EVENTS: tuple[type[DomainEvent], ...] = (
    AccountRegistered,
    AccountVerified,
    TokenIssued,
    TokenRevoked,
    QuotaReached,
    DocumentIngested,
    RunCompleted,
)


@dataclass(frozen=True)
class Change:
    """One item of a table, before and after. `table`: without the prefix. `keys`: of the item. `before`, `after`: empty
    where there was or is none, or where the table's stream has keys only. `delivery_id`: of the stream's record."""

    delivery_id: str
    table: str
    keys: Item
    before: Item
    after: Item
    at_ms: int
    is_new: bool


def happened(change: Change) -> Iterator[DomainEvent]:
    """Errors: LookupError, TypeError, ValueError, for an item that is malformed."""
    if reader := READERS.get(change.table):
        yield from reader(change)


def quota_reached(account_id: str, kind: str, month: int, at_ms: int) -> QuotaReached:
    """Of the mail that says so, which is queued once a month."""
    percent: Literal[80, 100] = 80 if kind == "quota_80" else 100
    period = f"{month // 100}-{month % 100:02d}"
    return QuotaReached(**_head(QuotaReached, account_id, at_ms, percent, period), percent=percent, period=period)


def _head(kind: type[DomainEvent], account_id: str, at_ms: int, *subject: str | int) -> dict[str, Any]:
    names = (kind.__name__, account_id, *subject)
    return {"id": event_id(at_ms, *names), "occurred_at": rfc3339(at_ms), "account_id": account_id}


def _of_accounts(change: Change) -> Iterator[DomainEvent]:
    account_id, before, after = str(change.keys["pk"]), change.before, change.after
    if not account_id.startswith("usr_") or not after:
        return
    if change.is_new:
        yield AccountRegistered(**_head(AccountRegistered, account_id, after["created_ms"]))
    if after.get("verified_ms") and not before.get("verified_ms"):
        yield AccountVerified(**_head(AccountVerified, account_id, after["verified_ms"]))


def _of_tokens(change: Change) -> Iterator[DomainEvent]:
    account_id, token_id = change.keys["account_id"], change.keys["token_id"]
    before, after = change.before, change.after
    if change.is_new:
        more = {"kind": after.get("kind", "secret"), "expires_at": rfc3339(after["expires_ms"])}
        yield TokenIssued(**_head(TokenIssued, account_id, after["created_ms"], token_id), token_id=token_id, **more)
    was_live = bool(before) and "revoked_ms" not in before and before["expires_ms"] > change.at_ms
    if was_live and (not after or "revoked_ms" in after):
        at_ms = after.get("revoked_ms", change.at_ms)
        yield TokenRevoked(**_head(TokenRevoked, account_id, at_ms, token_id), token_id=token_id)


def _of_documents(change: Change) -> Iterator[DomainEvent]:
    kind, _, rest = str(change.keys["item_id"]).partition("#")
    if kind != "in" or change.after.get("status") != "completed" or change.before.get("status") == "completed":
        return
    store_id, _, file_id = rest.partition("#")
    head = _head(DocumentIngested, change.keys["account_id"], change.at_ms, store_id, file_id)
    yield DocumentIngested(**head, file_id=file_id, vector_store_id=store_id)


def _of_runs(change: Change) -> Iterator[DomainEvent]:
    run_id, status = str(change.keys["run_id"]), change.after.get("status")
    if is_batch_id(run_id) and status and "status" not in change.before:
        head = _head(RunCompleted, change.keys["account_id"], change.at_ms, run_id)
        yield RunCompleted(**head, run_id=run_id, kind="batch", response_id=None, status=status)
    if not run_id.startswith("req_") or status in (None, *LIVE) or change.before.get("status") not in LIVE:
        return
    account_id, is_chat = str(change.keys["account_id"]), bool(change.after.get("ask"))
    request_time_ms(run_id)  # raises for a malformed one
    response_id = None if is_chat else Run(account_id, run_id, change.after["place"]).response_id
    head = _head(RunCompleted, account_id, change.at_ms, run_id)
    kind = "chat" if is_chat else "response"
    yield RunCompleted(**head, run_id=run_id, kind=kind, response_id=response_id, status=status)


READERS = {"accounts": _of_accounts, "tokens": _of_tokens, "documents": _of_documents, "runs": _of_runs}
