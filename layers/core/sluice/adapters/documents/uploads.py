"""Uploads in parts: one item of the documents table an account, with an attribute for each upload.

So an account's live uploads are read at once, and two that are begun at once know of each other: `made` is one more
with each, and a write names the one that was read.
"""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.adapters.documents.rows import SCHEMA, Rows
from sluice.domain.documents.document import MOST_PARTS, Upload
from sluice.domain.documents.uploads import UPLOAD

ITEM = "uploads"
NONE_YET = "attribute_not_exists(made)"
NONE_SINCE = "made = :number"
# (1) it takes parts; (2) there is room for these bytes; (3) and for one more part.
TAKES_PART = "#upload.#status = :pending AND #upload.sent_bytes <= :room AND #upload.#parts < :most"


class DynamoUploads:
    """`sluice.ports.documents.UploadStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._rows = Rows(table_prefix)

    def known(self, account_id: str) -> tuple[int, list[Upload]]:
        item = self._rows.get(account_id, ITEM) or {}
        named = sorted(name for name in item if name.startswith(UPLOAD))
        return item.get("made", 0), [Upload(account_id, name, **item[name]) for name in named]

    def begin(self, upload: Upload, number: int, forgotten: Collection[str]) -> bool:
        fields = asdict(upload)
        del fields["account_id"], fields["upload_id"]
        gone = {f"#gone{place}": name for place, name in enumerate(forgotten)}
        values = {":upload": fields, ":next": number + 1, ":schema": SCHEMA, **({":number": number} if number else {})}
        removed = " REMOVE " + ", ".join(gone) if gone else ""
        return self._rows.update(
            upload.account_id,
            ITEM,
            NONE_SINCE if number else NONE_YET,
            UpdateExpression="SET #upload = :upload, made = :next, #schema = :schema" + removed,
            ExpressionAttributeNames={"#upload": upload.upload_id, "#schema": "schema", **gone},
            ExpressionAttributeValues=dynamo.item(values),
        )

    def take_part(self, upload: Upload, size_bytes: int, most_bytes: int) -> bool:
        room = {":pending": "pending", ":room": most_bytes - size_bytes, ":most": MOST_PARTS}
        return self._update(
            upload,
            TAKES_PART,
            "SET #upload.sent_bytes = #upload.sent_bytes + :size, #upload.#parts = #upload.#parts + :one",
            {**room, ":size": size_bytes, ":one": 1},
            {"#status": "status", "#parts": "parts"},
        )

    def change(self, upload: Upload, before: Collection[str], status: str) -> bool:
        allowed = {f":before{place}": one for place, one in enumerate(before)}
        return self._update(
            upload,
            f"#upload.#status IN ({', '.join(allowed)})",
            "SET #upload.#status = :status",
            {**allowed, ":status": status},
            {"#status": "status"},
        )

    def _update(
        self, upload: Upload, condition: str, expression: str, values: dict[str, Any], names: dict[str, str]
    ) -> bool:
        return self._rows.update(
            upload.account_id,
            ITEM,
            condition,
            UpdateExpression=expression,
            ExpressionAttributeNames={"#upload": upload.upload_id, **names},
            ExpressionAttributeValues=dynamo.item(values),
        )
