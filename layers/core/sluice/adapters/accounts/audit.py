"""The audit table: one item an event, by day and time. Only `forget_client` changes an event."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.accounts.audit import FIRST_DAY, AuditEvent
from sluice.domain.periods import day_of

IS_NEW = "attribute_not_exists(event_id)"
INDEXES = {"by_actor": "actor", "by_target": "target"}
MAX_DAYS = 60  # read in one call, because most days may have no event


def put_in_transaction(event: AuditEvent, table_prefix: str) -> Any:
    """The write of an event that stands or falls with another."""
    return {"Put": _put(event, table_prefix + "audit")}


def _put(event: AuditEvent, table: str) -> Any:
    plain = {name: value for name, value in asdict(event).items() if value not in ("", {})}
    return {"TableName": table, "Item": dynamo.item({"day": event.day, **plain}), "ConditionExpression": IS_NEW}


class DynamoAudit:
    """`sluice.ports.AuditLog`."""

    def __init__(self, table_prefix: str) -> None:
        self._prefix, self._table = table_prefix, table_prefix + "audit"

    def put(self, event: AuditEvent) -> None:
        """Errors: StoreUnavailable."""
        put = _put(event, self._table)
        try:
            dynamo.write(lambda: dynamo.client().put_item(**put))
        except dynamo.ConditionFailed:
            return  # ids are random, so this event is ours: the first try's answer was lost

    def page(
        self, *, limit: int, before: tuple[str, str] | None, now_ms: int
    ) -> tuple[list[AuditEvent], tuple[str, str] | None]:
        """Newest first, from the position `before` (day, event id), and the position of the next page or None."""
        day, event_id = before or (day_of(now_ms), "")
        found: list[AuditEvent] = []
        for _ in range(MAX_DAYS):
            found += self._of_day(day, event_id, limit + 1 - len(found))
            if len(found) > limit:
                last = found[limit - 1]
                return found[:limit], (last.day, last.event_id)
            day, event_id = _day_before(day), ""
            if day < FIRST_DAY:
                return found, None
        return found, (day, "")

    def _of_day(self, day: str, before_id: str, limit: int) -> list[AuditEvent]:
        from sluice.adapters.aws.model_store import bound, reading  # the admin's alone
        from sluice.adapters.aws.models import AuditItem

        rows = bound(AuditItem, self._prefix)
        before = rows.event_id < before_id if before_id else None
        with reading():
            found = rows.query(day, before, consistent_read=True, scan_index_forward=False, limit=limit)
            return [event_from(row.to_simple_dict()) for row in found]

    def naming(self, account_id: str) -> Iterator[AuditEvent]:
        """Events by the account, then on it, oldest first, each once. The last second's may be missing."""
        for index, role in INDEXES.items():
            for stored in dynamo.query(self._table, {role: account_id}, index=index):
                if index == "by_actor" or stored.get("actor") != account_id:
                    yield event_from(stored)

    def forget_client(self, account_id: str) -> None:
        """After this, an erased account's events hold only its opaque id."""
        for event in self.naming(account_id):
            if event.client and event.actor in ("", account_id):  # an admin's address belongs to the admin
                self._forget(event)

    def _forget(self, event: AuditEvent) -> None:
        key = dynamo.item({"day": event.day, "event_id": event.event_id})
        dynamo.write(
            lambda: dynamo.client().update_item(
                TableName=self._table,
                Key=key,
                UpdateExpression="REMOVE #client",
                ExpressionAttributeNames={"#client": "client"},
            )
        )


def event_from(stored: Mapping[str, Any]) -> AuditEvent:
    absent: dict[str, Any] = {"actor": "", "target": "", "before": {}, "after": {}, "client": ""}
    return AuditEvent(**{**absent, **{name: value for name, value in stored.items() if name != "day"}})


def _day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()
