"""Uploaded files in the documents table, and the bytes and files that an account holds."""

from dataclasses import asdict
from itertools import islice
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.adapters.documents.rows import NOT_THERE, THERE, Rows, file_item_id, finish, gone_id, pending
from sluice.domain.documents.document import File
from sluice.domain.errors import StorageFull

MOST_FILES = 10_000
"""For each account, because a list of files reads one partition, and empty files count no bytes."""

# (1) the account has no bytes yet, or room for this file; (2) the same for the number of files.
ROOM = (
    "(attribute_not_exists(held_bytes) OR held_bytes <= :room) AND "
    "(attribute_not_exists(held_files) OR held_files < :most)"
)
HELD = "held"
FIELDS = tuple(File.__dataclass_fields__)


class DynamoFiles:
    """`sluice.ports.documents.FileStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._rows = Rows(table_prefix)

    def put(self, file: File, limit_bytes: int | None) -> None:
        if limit_bytes is not None and file.size_bytes > limit_bytes:
            raise StorageFull()
        waiting = pending(file.created_ms) if file.status == "uploaded" else {}
        held: dict[str, Any] = {
            **self._rows.key(file.account_id, HELD),
            "UpdateExpression": "ADD held_bytes :size, held_files :one",
        }
        values = {":size": file.size_bytes, ":one": 1}
        if limit_bytes is not None:
            held["ConditionExpression"] = ROOM
            values |= {":room": limit_bytes - file.size_bytes, ":most": MOST_FILES}
        held["ExpressionAttributeValues"] = dynamo.item(values)
        row = self._rows.item(file.account_id, file_item_id(file.file_id), {**asdict(file), **waiting})
        try:
            self._rows.transact({"Put": {**row, "ConditionExpression": NOT_THERE}}, {"Update": held})
        except dynamo.ConditionFailed as exc:
            if 0 not in exc.failed:  # otherwise the first attempt wrote the file, and its answer was lost
                raise StorageFull() from exc

    def get(self, account_id: str, file_id: str) -> File | None:
        item = self._rows.get(account_id, file_item_id(file_id))
        return _file(item) if item else None

    def page(self, account_id: str, *, limit: int, after_id: str | None, newest_first: bool = True) -> list[File]:
        found = self._rows.starting(
            account_id, file_item_id(""), after=after_id, newest_first=newest_first, limit=limit
        )
        return [_file(item) for item in islice(found, limit)]

    def set_status(self, account_id: str, file_id: str, status: str, detail: str | None = None) -> bool:
        return self._rows.update(account_id, file_item_id(file_id), **finish(status=status, status_detail=detail))

    def delete(self, account_id: str, file_id: str) -> bool:
        file = self.get(account_id, file_id)
        if file is None:
            return False
        values = dynamo.item({":size": -file.size_bytes, ":one": -1})
        update = {"UpdateExpression": "ADD held_bytes :size, held_files :one", "ExpressionAttributeValues": values}
        try:
            self._rows.transact(
                {"Delete": {**self._rows.key(account_id, file_item_id(file_id)), "ConditionExpression": THERE}},
                {"Update": {**self._rows.key(account_id, HELD), **update}},
                self._rows.trace(account_id, gone_id(file_id)),
            )
        except dynamo.ConditionFailed:
            return False
        return True

    def held_bytes(self, account_id: str) -> int:
        item = self._rows.get(account_id, HELD)
        return int(item["held_bytes"]) if item else 0

    def erase_account(self, account_id: str, most: int) -> bool:
        return self._rows.erase_account(account_id, most)


def _file(item: dict[str, Any]) -> File:
    return File(**{name: item[name] for name in FIELDS if name in item})
