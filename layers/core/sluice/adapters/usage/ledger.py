"""Reading the ledger: one account's records by time. Only the hot store writes them."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.domain.ids import request_id_at
from sluice.domain.spans import Span
from sluice.domain.usage.ledger import EVERY, UNPRICED, LedgerRecord, LogFilter

log = logging.getLogger("sluice.ledger")

FIELDS = {field.name for field in fields(LedgerRecord)}
ABSENT: Mapping[str, Any] = dict.fromkeys(("response_time_ms", "ttft_ms", "finish_reason", "rolled_up_ms"))
END_OF_TIME_MS = 2**48 - 1  # the latest time a request id can hold

FILTERED_PAGE = 500  # records read in one call when a filter may drop most of them
MAX_FILTERED_PAGES = 20
MAX_PAGES = 40  # pages of 1 MB (DynamoDB's limit), with some 3,000 records each
RECENT_MS = 15 * 60_000  # longer than any request may run; older records were rolled up nearly in the ledger's order
SETTLED_RUN = 25  # this many marked records in a row show that metering is done before them
ANSWERED = 200
NOT_ROLLED_UP = "attribute_not_exists(rolled_up_ms)"


def record_of(stored: Mapping[str, Any]) -> LedgerRecord:
    """From DynamoDB's format. Attributes of a later schema are ignored."""
    plain = dynamo.values(stored)
    if UNPRICED in plain:
        plain["cost_micro_usd"] = None
    return LedgerRecord(**{**ABSENT, **{name: plain[name] for name in plain.keys() & FIELDS}})


class DynamoLedger:
    """`sluice.ports.LedgerReader`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "ledger"

    def get(self, account_id: str, request_id: str) -> LedgerRecord | None:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(
                TableName=self._table, Key=_key(account_id, request_id), ConsistentRead=True
            )
        return record_of(answer["Item"]) if "Item" in answer else None

    def page(
        self, account_id: str, *, limit: int, before_id: str | None = None, wanted: LogFilter = EVERY
    ) -> tuple[list[LedgerRecord], str | None]:
        """Newest first. It reads one record more than `limit`, to know whether there is a next page."""
        query = _newest_first(account_id, before_id, wanted)
        if query is None:
            return [], None
        query["Limit"] = FILTERED_PAGE if "FilterExpression" in query else limit + 1
        found: list[LedgerRecord] = []
        for _ in range(MAX_FILTERED_PAGES):
            items, start = self._query(query)
            found += [record_of(item) for item in items]
            if len(found) > limit:
                return found[:limit], found[limit - 1].request_id
            if start is None:
                return found, None
            query["ExclusiveStartKey"] = start
        return found, query["ExclusiveStartKey"]["request_id"]["S"]

    def between(self, account_id: str, span: Span) -> Iterator[LedgerRecord]:
        """Oldest first. Errors: ValidationFailed, StoreUnavailable."""
        query = _range(account_id, request_id_at(span.from_ms), request_id_at(max(0, span.to_ms - 1), last=True))
        if span.from_ms >= span.to_ms:
            return
        for _ in range(MAX_PAGES):
            items, start = self._query(query)
            yield from map(record_of, items)
            if start is None:
                return
            query["ExclusiveStartKey"] = start
        message = "Too many requests in a part of a day to add up at once. Ask for whole days."
        raise ValidationFailed((FieldProblem("from", message),))

    def everything(self, account_id: str) -> Iterator[LedgerRecord]:
        query = _range(account_id, request_id_at(0), request_id_at(END_OF_TIME_MS, last=True)) | {"Limit": dynamo.PAGE}
        start: Any = True
        while start is not None:
            items, start = self._query(query)
            yield from map(record_of, items)
            query["ExclusiveStartKey"] = start

    def unmarked(self, account_id: str, now_ms: int) -> list[LedgerRecord]:
        """All unmarked records of the last 15 minutes, because requests settle out of order; and older ones back to a
        run of marked records, because metering leaves no gaps when it is late."""
        border_ms = max(0, now_ms - RECENT_MS)
        recent = _range(account_id, request_id_at(border_ms), request_id_at(END_OF_TIME_MS, last=True))
        recent["FilterExpression"] = NOT_ROLLED_UP
        found = [record_of(item) for item in self._items(recent)]
        older = _range(account_id, request_id_at(0), request_id_at(max(0, border_ms - 1), last=True))
        older |= {"ScanIndexForward": False, "Limit": SETTLED_RUN}
        in_a_row = 0
        for item in self._items(older):
            in_a_row = in_a_row + 1 if "rolled_up_ms" in item else 0
            if in_a_row == SETTLED_RUN:
                break
            if in_a_row == 0:
                found.append(record_of(item))
                older["Limit"] = FILTERED_PAGE  # metering is late: read in larger steps
        return found

    def _items(self, query: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Every item; after MAX_PAGES it stops and logs a warning."""
        for _ in range(MAX_PAGES):
            items, start = self._query(query)
            yield from items
            if start is None:
                return
            query["ExclusiveStartKey"] = start
        log.warning("metering is too far behind: usage is shown without the oldest unmetered records")

    def _query(self, query: Mapping[str, Any]) -> tuple[list[Any], Any]:
        with dynamo.store_errors():
            answer = dynamo.client().query(TableName=self._table, ConsistentRead=True, **query)
        return answer["Items"], answer.get("LastEvaluatedKey")


def _key(account_id: str, request_id: str) -> dict[str, Any]:
    return dynamo.item({"account_id": account_id, "request_id": request_id})


def _range(account_id: str, first_id: str, last_id: str) -> dict[str, Any]:
    return {
        "KeyConditionExpression": "account_id = :account AND request_id BETWEEN :first AND :last",
        "ExpressionAttributeValues": dynamo.item({":account": account_id, ":first": first_id, ":last": last_id}),
    }


def _newest_first(account_id: str, before_id: str | None, wanted: LogFilter) -> dict[str, Any] | None:
    """The query, or None where nothing can be found: DynamoDB refuses a start outside the range."""
    span = wanted.span or Span(0, END_OF_TIME_MS + 1)
    first_id = request_id_at(span.from_ms)
    last_id = request_id_at(max(0, span.to_ms - 1), last=True)
    if span.from_ms >= span.to_ms or (before_id is not None and before_id <= first_id):
        return None
    query = _range(account_id, first_id, last_id) | {"ScanIndexForward": False}
    if before_id is not None and before_id <= last_id:
        query["ExclusiveStartKey"] = _key(account_id, before_id)
    equal = {"token_id": wanted.token_id, "model": wanted.model}
    compared: dict[str, tuple[str, str | int]] = {name: ("=", value) for name, value in equal.items() if value}
    if wanted.answered is not None:
        compared["status"] = ("=" if wanted.answered else "<>", ANSWERED)
    if compared:
        query["FilterExpression"] = " AND ".join(f"#{name} {how} :{name}" for name, (how, _) in compared.items())
        query["ExpressionAttributeNames"] = {f"#{name}": name for name in compared}
        query["ExpressionAttributeValues"] |= dynamo.item({f":{name}": value for name, (_, value) in compared.items()})
    return query
