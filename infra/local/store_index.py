"""Adds an index to the embedded store, without which each write to a table with a stream is slower than the last.

Dynoxide 1.2.1 numbers a stream record by `SELECT MAX(CAST(sequence_number AS INTEGER)) … WHERE table_name = ?` and has
no index for it, so every such write reads the whole stream. Measured: a put takes 0.2 ms of the store's CPU with an
empty stream and 0.1 ms more per thousand records; with this index always 0.2 ms (docs/performance.md). SQLite uses an
index on the same expression: https://www.sqlite.org/expridx.html
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

STREAM_INDEX = (
    "CREATE INDEX IF NOT EXISTS sluice_stream_numbers ON _stream_records (table_name, CAST(sequence_number AS INTEGER))"
)
LOCK_SECONDS = 5.0


def ensure(database: Path) -> bool:
    """Create the index, also while the store runs. Returns False when it cannot (no table, or a locked file), which is
    no error, because the index affects only the speed."""
    if not database.is_file():
        return False
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=LOCK_SECONDS)) as connection:
        connection.execute(STREAM_INDEX)
        connection.commit()
        return True
    return False
