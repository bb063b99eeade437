"""One vector store's index: an SQLite database with a full-text table, opened for one operation (docs/adr/0070).

A database holds one store of one account, so no query can reach another account's text. `terms.py` makes the terms and
joins them with spaces, and FTS5's `ascii` tokenizer splits them again. The full-text table holds no copy of the text.
All changes for one file are one transaction.
"""

import json
import math
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from sluice.domain.errors import SearchUnavailable

SCHEMA = 2
WITHOUT_MODELS = 1
"""Indexes of earlier versions: their vectors do not say which model made them, so they are not used."""
BUSY_MS = 10_000
WAL_POLL_SECONDS = 0.01
FIND_SECONDS = 5.0
"""The longest search in one index. A query of 64 common words takes a second per 20 MB of text."""
STEPS = 1_000
"""Of SQLite's machine between two looks at the clock."""
TABLES = """
CREATE TABLE IF NOT EXISTS files (file_id TEXT PRIMARY KEY, filename TEXT NOT NULL, model TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calibration (model TEXT PRIMARY KEY, unrelated REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (
    id INTEGER PRIMARY KEY, file_id TEXT NOT NULL, position INTEGER NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL,
    signs BLOB, vector BLOB, UNIQUE (file_id, position)
);
CREATE INDEX IF NOT EXISTS signs_of_files ON chunks (file_id, signs);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
    title, text, content='', contentless_delete=1, tokenize='ascii', columnsize=1
);
CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab(words, 'row');
"""

Only = Collection[str] | None  # ids of files, None for all


def in_files(only: Only) -> tuple[str, ...]:
    """As a value for `json_each`; none for all files, whose query has no such condition."""
    return () if only is None else (json.dumps(list(only)),)


@contextmanager
def opened(path: Path, *, shared: bool, make: bool = True) -> Iterator[apsw.Connection]:
    """`shared`: other processes use the same file now (one machine); else it is a private copy.

    Errors: SearchUnavailable for any error of the database; FileNotFoundError if it is gone, but for `make`.
    """
    try:
        connection = apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if make else 0))
        try:
            connection.setbusytimeout(BUSY_MS)
            if shared:
                _use_wal(connection)
            else:
                connection.pragma("synchronous", "off")
            yield connection
        finally:
            connection.close()
    except apsw.Error as exc:
        if isinstance(exc, apsw.CantOpenError) and not make:
            raise FileNotFoundError(str(path)) from exc
        raise SearchUnavailable() from exc


def _use_wal(connection: apsw.Connection) -> None:
    """Waits by itself: SQLite ignores the busy timeout here, so of two that create one index the second would fail."""
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
            return
        except apsw.BusyError:
            if time.monotonic() > until:
                raise
            time.sleep(WAL_POLL_SECONDS)


@contextmanager
def change(connection: apsw.Connection) -> Iterator[None]:
    """One write transaction. Every write goes through it.

    IMMEDIATE takes the write lock at the beginning, and waits BUSY_MS for it. A deferred transaction takes it at its
    first write; if another writer has committed since its first read, SQLite answers BUSY without waiting.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(connection: apsw.Connection) -> Iterator[None]:
    """Inside, all reads see one state of the database, even if other processes write, and end after FIND_SECONDS."""
    until = time.monotonic() + FIND_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > until, STEPS)
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.set_progress_handler(None)
        connection.execute("ROLLBACK")


def prepare(connection: apsw.Connection) -> None:
    if has_models(connection):
        return
    with change(connection):
        version = connection.pragma("user_version")
        if version == WITHOUT_MODELS:
            connection.execute("ALTER TABLE files ADD COLUMN model TEXT")
        connection.execute(TABLES)
        connection.pragma("user_version", SCHEMA)


def is_prepared(connection: apsw.Connection) -> bool:
    return connection.pragma("user_version") in (SCHEMA, WITHOUT_MODELS)


def has_models(connection: apsw.Connection) -> bool:
    return bool(connection.pragma("user_version") == SCHEMA)


def file_ids(connection: apsw.Connection) -> set[str]:
    """The files it holds passages of, and those that have none."""
    return (
        {file_id for (file_id,) in rows(connection, "SELECT file_id FROM files")} if is_prepared(connection) else set()
    )


def files_without(connection: apsw.Connection, model: str) -> set[str]:
    """The files whose vectors are not of this model, or that have none."""
    if not has_models(connection):
        return file_ids(connection)
    return {file_id for (file_id,) in rows(connection, "SELECT file_id FROM files WHERE model IS NOT ?", (model,))}


def rows(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    return list(connection.execute(sql, values))


def count(connection: apsw.Connection) -> int:
    return int(rows(connection, "SELECT count(*) FROM chunks")[0][0])


class Weights:
    """The weight of a term: high if few passages contain it, highest if none does.

    This is BM25's inverse document frequency, as if ABSENT more passages lacked the term. Without that, in a store of
    one passage, a word that occurs would weigh nothing beside a word that does not.
    """

    ABSENT = 50

    def __init__(self, connection: apsw.Connection, terms: Sequence[str]) -> None:
        self.passages = count(connection)
        self.found = {
            term: int(rows(connection, "SELECT coalesce(max(doc), 0) FROM vocabulary WHERE term = ?", (term,))[0][0])
            for term in terms
        }

    def of(self, term: str) -> float:
        found = self.found[term]
        return math.log(1 + (self.passages + self.ABSENT - found + 0.5) / (found + 0.5))
