"""A copy of the store while it runs, and what the copy holds.

The store keeps its tables in one SQLite file in WAL mode. A reader in another process has a snapshot of one moment
there, delays no write, and is delayed by none (https://www.sqlite.org/wal.html). SQLite's backup API copies the pages
of such a snapshot. All pages in one step: with several it begins again whenever the store writes in between.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.backup.errors import BackupRefused
from infra.migrations import record
from sluice.domain.batches import LIVE

LOCK_SECONDS = 30.0
ALL_PAGES = -1
KEYS = "keys"
"""The item of `infra.local.same_keys`."""
LEDGER = ("requests", "prompt_tokens", "completion_tokens")


def copy(database: Path, target: Path) -> None:
    """Errors: BackupRefused if it is no database or is damaged; FileNotFoundError, OSError."""
    if not database.is_file():
        raise FileNotFoundError(2, "No such file", str(database))
    try:
        with (
            closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS)) as source,
            closing(sqlite3.connect(target)) as copied,
        ):
            source.backup(copied, pages=ALL_PAGES)
            copied.execute("PRAGMA journal_mode = DELETE")  # one file, without a -wal beside it
    except sqlite3.Error as exc:
        raise BackupRefused(f"{database} cannot be copied: {exc}") from exc


@dataclass(frozen=True)
class StoreCopy:
    """The store in a file that no store has open. Errors of each: BackupRefused."""

    path: Path
    prefix: str

    def check(self) -> None:
        with self._rows("PRAGMA integrity_check") as rows:
            if (found := rows.fetchone()[0]) != "ok":
                raise BackupRefused(f"the copy of the store is damaged: {found}")

    def record(self) -> record.Record:
        """Of the version that wrote it."""
        return record.parse(next(self._items("accounts", f"pk = 'S:{record.KEY}'"), {}))

    def schema(self) -> int:
        return self.record().version

    def keys(self) -> str:
        """The fingerprint of its machines' keys; empty if one machine has it for itself."""
        return str(next(self._items("accounts", f"pk = 'S:{KEYS}'"), {}).get("fingerprint", {}).get("S", ""))

    def has_table(self, table: str) -> bool:
        """Not before the first start has come so far."""
        with self._rows("SELECT 1 FROM sqlite_master WHERE name = ?", self.prefix + table) as rows:
            return rows.fetchone() is not None

    def rows(self) -> dict[str, int]:
        with self._rows("SELECT table_name FROM _tables ORDER BY 1") as tables:
            names = [name for (name,) in tables]
        counts = {}
        for name in names:
            with self._rows(f'SELECT count(*) FROM "{name}"') as rows:  # noqa: S608 - a name that the store gave
                counts[name] = rows.fetchone()[0]
        return counts

    def ledger(self) -> dict[str, int]:
        sums = [f"sum(CAST(json_extract(item_json, '$.{name}.N') AS INTEGER))" for name in LEDGER[1:]]
        found = next(self._select(", ".join(["count(*)", *sums]), "ledger", "true"), (0,) * len(LEDGER))
        return dict(zip(LEDGER, (value or 0 for value in found), strict=True))

    def files(self) -> set[tuple[str, str]]:
        """The account and the id of each uploaded file."""
        found = self._items("documents", "sk LIKE 'S:file#%'")
        return {(item["account_id"]["S"], item["item_id"]["S"].removeprefix("file#")) for item in found}

    def queued_runs(self) -> list[tuple[str, str]]:
        """The account and the id of each background response that waits for its message."""
        found = self._items("runs", "sk LIKE 'S:req%'")
        return [(i["account_id"]["S"], i["run_id"]["S"]) for i in found if i["status"]["S"] == "queued"]

    def live_batches(self) -> list[tuple[str, str]]:
        """The account and the id of each batch that has not ended."""
        found = self._items("contents", "sk LIKE 'S:batch_%'")
        return [(i["account_id"]["S"], i["item_id"]["S"]) for i in found if i["status"]["S"] in LIVE]

    def _items(self, table: str, where: str = "true") -> Iterator[dict[str, Any]]:
        """In DynamoDB's form."""
        return (json.loads(text) for (text,) in self._select("item_json", table, where))

    def _select(self, what: str, table: str, where: str) -> Iterator[tuple[Any, ...]]:
        """Nothing if the table is not there yet."""
        if not self.has_table(table):
            return
        with self._rows(f'SELECT {what} FROM "{self.prefix}{table}" WHERE {where}') as rows:  # noqa: S608 - words of ours
            yield from rows

    @contextmanager
    def _rows(self, question: str, *values: str) -> Iterator[sqlite3.Cursor]:
        try:
            with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as connection:
                yield connection.execute(question, values)
        except sqlite3.Error as exc:
            raise BackupRefused(f"the copy of the store cannot be read: {exc}") from exc
