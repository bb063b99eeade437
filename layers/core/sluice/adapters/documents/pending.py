"""Work that waits for `ingestion`, found by the documents table's sparse index."""

from typing import Any

from sluice.adapters.aws import dynamo
from sluice.adapters.documents.rows import MOMENT_DIGITS, PENDING, Rows, gone_id, out_id
from sluice.ports.documents import Pending


class DynamoPending:
    """`sluice.ports.documents.PendingDocuments`."""

    def __init__(self, table_prefix: str) -> None:
        self._rows = Rows(table_prefix)

    def waiting(self, before_ms: int, limit: int) -> list[Pending]:
        with dynamo.store_errors():
            page = dynamo.client().query(
                TableName=self._rows.table,
                IndexName="pending",
                KeyConditionExpression="pending_shard = :shard AND due < :before",
                ExpressionAttributeValues=dynamo.item({":shard": PENDING, ":before": f"{before_ms:0{MOMENT_DIGITS}d}"}),
                Limit=limit,
            )
        return [_pending(dynamo.values(item)) for item in page["Items"]]

    def tried(self, pending: Pending, now_ms: int, by: int = 1) -> int:
        try:
            answer = dynamo.write(
                lambda: dynamo.client().update_item(
                    **self._rows.key(pending.account_id, pending.item_id),
                    UpdateExpression="SET due = :now ADD tries :one",
                    ConditionExpression="attribute_exists(pending_shard)",
                    ExpressionAttributeValues=dynamo.item({":now": f"{now_ms:0{MOMENT_DIGITS}d}", ":one": by}),
                    ReturnValues="ALL_NEW",
                )
            )
        except dynamo.ConditionFailed:
            return 0
        return int(dynamo.values(answer["Attributes"])["tries"])

    def settled(self, account_id: str, store_id: str, file_id: str) -> None:
        self._rows.delete(account_id, out_id(store_id, file_id) if store_id else gone_id(file_id))


def _pending(item: dict[str, Any]) -> Pending:
    kind, *names = item["item_id"].split("#")
    store_id = names[0] if kind in ("in", "out") else ""
    return Pending(item["account_id"], item["item_id"], store_id, names[-1], kind in ("out", "gone"), int(item["due"]))
