"""An index the embedded store lacks: without it each write to a table with a stream costs more than the last.

Dynoxide 1.2.1 numbers a stream record by `SELECT MAX(CAST(sequence_number AS INTEGER)) … WHERE table_name = ?` and has
no index for it: every such write reads all of that stream. Measured: a put took 0.2 ms of the store's CPU with an empty
stream and about 0.1 ms more with each thousand records; with this index 0.2 ms throughout (docs/performance.md).
Source: https://www.sqlite.org/expridx.html, an index on the same expression serves.
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

STREAM_INDEX = (
    "CREATE INDEX IF NOT EXISTS sluice_stream_numbers ON _stream_records (table_name, CAST(sequence_number AS INTEGER))"
)
LOCK_SECONDS = 5.0


def ensure(database: Path) -> bool:
    """Whether the index is there now. The store may run meanwhile. A later version's file without that table, or one
    that is locked, is left as it is: the index makes the store faster, not right."""
    if not database.is_file():
        return False
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=LOCK_SECONDS)) as connection:
        connection.execute(STREAM_INDEX)
        connection.commit()
        return True
    return False
