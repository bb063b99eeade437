"""One page of an account's request log: the ledger's records with what was kept of their content."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.domain.gateway.contents import LoggedContent
from sluice.domain.ids import request_time_ms
from sluice.domain.spans import Span
from sluice.domain.usage.ledger import LedgerRecord
from sluice.ports.gateway import ContentStore
from sluice.ports.usage import LedgerReader

CHECK_CHARACTERS = 8


@dataclass(frozen=True)
class LogPage:
    entries: list[tuple[LedgerRecord, LoggedContent | None]]
    next_cursor: str | None


def usage_logs(
    ledger: LedgerReader,
    contents: ContentStore,
    account_id: str,
    *,
    limit: int,
    cursor: str | None,
    token_id: str | None,
    model: str | None,
    now_ms: int,
    span: Span | None = None,
    answered: bool | None = None,
) -> LogPage:
    """Newest first. Errors: ValidationFailed for a cursor that is not one of this account's, StoreUnavailable."""
    before_id = _position(cursor, account_id) if cursor else None
    records, next_id = ledger.page(
        account_id, limit=limit, before_id=before_id, span=span, token_id=token_id, model=model, answered=answered
    )
    kept = contents.logged(account_id, [record.request_id for record in records], now_ms)
    entries = [(record, kept.get(record.request_id)) for record in records]
    return LogPage(entries, cursor_for(account_id, next_id) if next_id else None)


def cursor_for(account_id: str, request_id: str) -> str:
    """A position in one account's own log, and no more: whose log is read, the session alone decides.

    The check only tells a mistyped or foreign cursor from a good one; a forged one reaches nothing of anyone else's.
    """
    return urlsafe_b64encode(f"{request_id}.{_check(account_id, request_id)}".encode()).decode().rstrip("=")


def _position(cursor: str, account_id: str) -> str:
    try:
        request_id, _, check = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").rpartition(".")
        request_time_ms(request_id)
    except ValueError:
        request_id = check = ""
    if not check or cursor_for(account_id, request_id) != cursor:
        raise ValidationFailed((FieldProblem("cursor", "This is no `next_cursor` of this account's log."),))
    return request_id


def _check(account_id: str, request_id: str) -> str:
    return hashlib.sha256(f"usage log {account_id} {request_id}".encode()).hexdigest()[:CHECK_CHARACTERS]
