"""Vector stores and their attachments in the documents table.

An attachment is two items, so that both the store and the file lead to it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.adapters.aws.counted_rows import CountedRows
from sluice.adapters.documents.rows import (
    THERE,
    Rows,
    file_item_id,
    finish,
    in_id,
    of_id,
    out_id,
    pending,
    store_item_id,
)
from sluice.domain.documents.document import MOST_ATTACHMENTS, MOST_VECTOR_STORES, Attachment, VectorStore
from sluice.domain.documents.keys import WHOLE_STORE
from sluice.domain.errors import NotFound

DETACHED_AT_ONCE = 100
NOT_CANCELLED = f"{THERE} AND #status <> :cancelled"  # the caller's word is the last one
WAITS = "#status = :waits"
JSON_FIELDS = ("attributes", "metadata")  # stored as JSON, because they may hold fractions


class DynamoVectorStores:
    """`sluice.ports.documents.VectorStoreStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._rows = Rows(table_prefix)
        table = self._rows.table
        self._stores = CountedRows(table, store_item_id(""), "stores", MOST_VECTOR_STORES, "vector stores")
        self._attached = CountedRows(table, "in#", "attached", MOST_ATTACHMENTS, "files in vector stores")

    def put(self, store: VectorStore) -> None:
        self._stores.add(store.account_id, self._row(store)["Item"])

    def update(self, store: VectorStore) -> None:
        try:
            dynamo.write(lambda: dynamo.client().put_item(**self._row(store), ConditionExpression=THERE))
        except dynamo.ConditionFailed as exc:
            raise NotFound(f"There is no vector store {store.store_id!r}.") from exc

    def used(self, account_id: str, store_id: str, now_ms: int) -> None:
        self._rows.update(
            account_id,
            store_item_id(store_id),
            UpdateExpression="SET last_active_ms = :now",
            ExpressionAttributeValues=dynamo.item({":now": now_ms}),
        )

    def _row(self, store: VectorStore) -> dict[str, Any]:
        return self._rows.item(store.account_id, store_item_id(store.store_id), _fields(asdict(store)))

    def get(self, account_id: str, store_id: str) -> VectorStore | None:
        item = self._rows.get(account_id, store_item_id(store_id))
        return _store(item) if item else None

    def page(self, account_id: str, *, limit: int, after_id: str | None) -> list[VectorStore]:
        """Newest first."""
        found = self._rows.starting(account_id, store_item_id(""), after=after_id, newest_first=True, limit=limit)
        return [_store(item) for item in islice(found, limit)]

    def delete(self, account_id: str, store_id: str) -> bool:
        """Delete the store first, so that nothing more is attached. `ingestion` detaches what a crash leaves, and what
        is more than a caller should wait for."""
        trace = self._rows.trace(account_id, out_id(store_id, WHOLE_STORE))
        found = self._stores.remove(account_id, store_item_id(store_id), trace)
        for attachment in list(islice(self.attachments(account_id, store_id), DETACHED_AT_ONCE)):
            self._take_out(account_id, store_id, attachment.file_id)
        return found

    def attach(self, attachment: Attachment) -> Attachment:
        account_id, store_id, file_id = attachment.account_id, attachment.store_id, attachment.file_id
        waiting = pending(attachment.created_ms) if attachment.status == "in_progress" else {}
        row = self._rows.item(account_id, in_id(store_id, file_id), {**_fields(asdict(attachment)), **waiting})
        back = self._rows.item(account_id, of_id(file_id, store_id), {})
        needed = [
            {"ConditionCheck": {**self._rows.key(account_id, item_id), "ConditionExpression": THERE}}
            for item_id in (store_item_id(store_id), file_item_id(file_id))
        ]
        failed = self._attached.add(account_id, row["Item"], *needed, {"Put": back})
        if not failed:
            return attachment
        there = self.attachment(account_id, store_id, file_id) if max(failed) < 2 else None
        if there is None:
            raise NotFound()
        return there

    def attachment(self, account_id: str, store_id: str, file_id: str) -> Attachment | None:
        item = self._rows.get(account_id, in_id(store_id, file_id))
        return _attachment(item) if item else None

    def attachments(self, account_id: str, store_id: str) -> Iterator[Attachment]:
        return map(_attachment, self._rows.starting(account_id, in_id(store_id, "")))

    def attached(self, account_id: str, store_id: str, file_ids: Sequence[str]) -> dict[str, Attachment]:
        names = dict.fromkeys(in_id(store_id, file_id) for file_id in file_ids)
        keys = ({"account_id": account_id, "item_id": name} for name in names)
        found = map(_attachment, dynamo.get_all(self._rows.table, keys))
        return {attachment.file_id: attachment for attachment in found}

    def stores_with(self, account_id: str, file_id: str) -> list[str]:
        return [item["item_id"].rpartition("#")[2] for item in self._rows.starting(account_id, of_id(file_id, ""))]

    def text_bytes(self, account_id: str) -> int:
        rows = dynamo.query(self._rows.table, {"account_id": account_id}, begins="in#", only=("usage_bytes",))
        return sum(int(row["usage_bytes"]) for row in rows)

    def set_attachment(
        self,
        account_id: str,
        store_id: str,
        file_id: str,
        status: str,
        *,
        error: str | None = None,
        usage_bytes: int = 0,
    ) -> bool:
        update = finish(status=status, error=error, usage_bytes=usage_bytes)
        update["ExpressionAttributeValues"] |= dynamo.item({":cancelled": "cancelled"})
        return self._rows.update(account_id, in_id(store_id, file_id), NOT_CANCELLED, **update)

    def cancel(self, account_id: str, store_id: str, file_id: str) -> bool:
        update = finish(status="cancelled", error=None)
        update["ExpressionAttributeValues"] |= dynamo.item({":waits": "in_progress"})
        return self._rows.update(account_id, in_id(store_id, file_id), WAITS, **update)

    def set_attributes(self, account_id: str, store_id: str, file_id: str, attributes: Mapping[str, Any]) -> bool:
        return self._rows.update(
            account_id,
            in_id(store_id, file_id),
            UpdateExpression="SET attributes = :attributes",
            ExpressionAttributeValues=dynamo.item({":attributes": json.dumps(dict(attributes))}),
        )

    def detach(self, account_id: str, store_id: str, file_id: str) -> bool:
        return self._take_out(account_id, store_id, file_id, self._rows.trace(account_id, out_id(store_id, file_id)))

    def _take_out(self, account_id: str, store_id: str, file_id: str, *trace: Any) -> bool:
        back = {"Delete": self._rows.key(account_id, of_id(file_id, store_id))}
        return self._attached.remove(account_id, in_id(store_id, file_id), back, *trace)


def _fields(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(value) if name in JSON_FIELDS else value for name, value in fields.items()}


def _plain(item: dict[str, Any], names: Any) -> dict[str, Any]:
    return {name: json.loads(item[name]) if name in JSON_FIELDS else item[name] for name in names if name in item}


def _store(item: dict[str, Any]) -> VectorStore:
    return VectorStore(**_plain(item, VectorStore.__dataclass_fields__))


def _attachment(item: dict[str, Any]) -> Attachment:
    return Attachment(**_plain(item, Attachment.__dataclass_fields__))
