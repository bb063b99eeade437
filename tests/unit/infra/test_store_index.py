"""The embedded store finds the last number of a stream by an index."""

import sqlite3
from contextlib import closing
from pathlib import Path

from infra.local import store_index

QUERY = "SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1 FROM _stream_records WHERE table_name = ?1"


def a_store(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE _stream_records (id INTEGER PRIMARY KEY, table_name TEXT, sequence_number TEXT)"
        )
        connection.execute("INSERT INTO _stream_records (table_name, sequence_number) VALUES ('ledger', '000009')")
        connection.commit()
    return path


def test_the_stores_own_query_uses_the_index(tmp_path: Path) -> None:
    store = a_store(tmp_path / "store.db")
    assert store_index.ensure(store)
    assert store_index.ensure(store)
    with closing(sqlite3.connect(store)) as connection:
        plan = " ".join(str(row) for row in connection.execute("EXPLAIN QUERY PLAN " + QUERY, ("ledger",)))
        assert "sluice_stream_numbers" in plan
        assert connection.execute(QUERY, ("ledger",)).fetchone() == (10,)


def test_a_file_that_is_not_a_sluice_store_is_left_as_it_is(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "other.db").close()
    assert store_index.ensure(tmp_path / "other.db") is False
    assert store_index.ensure(tmp_path / "missing.db") is False
    assert not (tmp_path / "missing.db").exists()
    (tmp_path / "garbage.db").write_bytes(b"no database at all" * 100)
    assert store_index.ensure(tmp_path / "garbage.db") is False
