"""An index that is read during writes, dropped during reads, damaged, or missing."""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from sluice.adapters.documents.search import database, writing
from sluice.adapters.documents.search.database import opened
from sluice.adapters.documents.search.folder import FolderIndexes
from sluice.adapters.documents.search.found import passages
from sluice.domain.documents.nearness import Asked, EmbeddingModel
from sluice.domain.documents.passages import Chunk
from sluice.domain.documents.vectors import Vectors, packed
from sluice.domain.errors import SearchUnavailable
from sluice.ports.documents import PassageQuery

ACCOUNT, STORE = "usr_a", "vs_1"


def test_readers_beside_writers_see_whole_old_or_new_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 120_000)  # SQLite's waiting is not fair, and a busy machine is slow
    monkeypatch.setattr(database, "FIND_SECONDS", 120.0)
    indexes, stop = FolderIndexes(tmp_path), threading.Event()
    versions = [[Chunk("", f"beacon version{version} part{part}") for part in range(6)] for version in range(3)]
    indexes.replace(ACCOUNT, STORE, "file_1", "a.txt", versions[0])
    seen: list[set[str]] = []
    failures: list[BaseException] = []

    def write(number: int) -> None:
        while not stop.is_set():
            for version in versions:
                indexes.replace(ACCOUNT, STORE, f"file_{number}", "a.txt", version)

    def read() -> None:
        try:
            for _ in range(60):
                hits = indexes.find(ACCOUNT, STORE, PassageQuery("beacon", 50))
                seen.append({hit.text for hit in hits if hit.file_id == "file_1"})
        except BaseException as exc:
            failures.append(exc)

    writers = [threading.Thread(target=write, args=(number,)) for number in (1, 2)]
    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in [*writers, *readers]:
        thread.start()
    for thread in readers:
        thread.join()
    stop.set()
    for thread in writers:
        thread.join()
    whole = [{chunk.text for chunk in version} for version in versions]
    assert failures == []
    assert len(seen) == 180 and all(one in whole for one in seen)


def test_no_other_writer_commits_between_a_removals_read_and_write(tmp_path: Path) -> None:
    """If one could, SQLite would answer the removal's first write with BUSY at once, whatever the timeout."""
    indexes = FolderIndexes(tmp_path)
    indexes.replace(ACCOUNT, STORE, "file_1", "a.txt", [Chunk("", "beacon")])
    (path,) = tmp_path.rglob("*.db")
    refused: list[bool] = []
    with opened(path, shared=True) as first, opened(path, shared=True) as second:
        second.set_busy_timeout(0)

        def between(_cursor: Any, sql: str, _values: Any) -> bool:
            if sql.startswith("DELETE") and not refused:
                refused.append(True)
                with suppress(apsw.BusyError):
                    writing.replace(second, "file_2", "b.txt", [Chunk("", "beacon")])
                    refused[0] = False
            return True

        first.exec_trace = between
        writing.remove(first, "file_1")
    assert refused == [True]
    assert indexes.find(ACCOUNT, STORE, PassageQuery("beacon", 5)) == [] and indexes.files(ACCOUNT, STORE) == set()


def test_of_two_concurrent_creations_of_an_index_the_second_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.db"
    first = apsw.Connection(str(path))
    first.execute("BEGIN IMMEDIATE")

    class Clock:
        """The first creation commits while the second waits."""

        monotonic = staticmethod(database.time.monotonic)

        @staticmethod
        def sleep(_seconds: float) -> None:
            first.execute("COMMIT")

    monkeypatch.setattr(database, "time", Clock)
    with opened(path, shared=True) as second:
        writing.replace(second, "file_1", "a.txt", [Chunk("", "beacon")])
        assert database.file_ids(second) == {"file_1"}
    first.close()


def test_a_search_sees_one_state_while_files_are_removed(tmp_path: Path) -> None:
    indexes = FolderIndexes(tmp_path)
    vector = packed([1.0, 0.0])
    near = Asked(vector, EmbeddingModel("m"))
    for number in range(2):
        indexes.replace(
            ACCOUNT, STORE, f"file_{number}", "a.txt", [Chunk("", f"beacon {number}")], Vectors("m", [vector])
        )
    (path,) = tmp_path.rglob("*.db")
    removed: list[bool] = []
    with opened(path, shared=True) as reader:

        def between(_cursor: Any, sql: str, _values: Any) -> bool:
            if "SELECT vector" in sql and not removed:
                removed.append(True)
                indexes.remove(ACCOUNT, STORE, "file_1")
            return True

        reader.exec_trace = between
        hits = passages(reader, STORE, PassageQuery("beacon", 5, near), None)
    assert removed and {hit.file_id for hit in hits} == {"file_0", "file_1"}
    assert {hit.file_id for hit in indexes.find(ACCOUNT, STORE, PassageQuery("beacon", 5, near))} == {"file_0"}


@pytest.mark.parametrize("near", [None, Asked(packed([1.0, 0.0]), EmbeddingModel("m"))])
def test_a_file_is_found_among_many_that_match_better(tmp_path: Path, near: Asked | None) -> None:
    indexes = FolderIndexes(tmp_path)
    better = [Chunk("", f"beacon {number}") for number in range(300)]
    indexes.replace(ACCOUNT, STORE, "file_1", "a.txt", better, Vectors("m", [packed([1.0, 0.0])] * 300))
    own = [Chunk("", "a lamp that some call a beacon, seldom, and with much else beside it")]
    indexes.replace(ACCOUNT, STORE, "file_2", "b.txt", own, Vectors("m", [packed([0.5, 0.8])]))
    for text in ("beacon", "nothing of it") if near else ("beacon",):
        asked = PassageQuery(text, 5, near, floored=False, file_ids=["file_2"])
        assert [hit.file_id for hit in indexes.find(ACCOUNT, STORE, asked)] == ["file_2"]


def test_a_search_without_an_index_finds_nothing_and_creates_no_file(tmp_path: Path) -> None:
    indexes = FolderIndexes(tmp_path)
    assert indexes.find(ACCOUNT, STORE, PassageQuery("beacon", 5)) == []
    indexes.remove(ACCOUNT, STORE, "file_1")
    indexes.drop(ACCOUNT, STORE)
    assert list(tmp_path.rglob("*.db")) == [], "looking makes none"


def test_a_damaged_index_is_unavailable_and_can_be_rebuilt_after_a_drop(tmp_path: Path) -> None:
    indexes = FolderIndexes(tmp_path)
    indexes.replace(ACCOUNT, STORE, "file_1", "a.txt", [Chunk("", "beacon")])
    (path,) = tmp_path.rglob("*.db")
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(SearchUnavailable):
        indexes.find(ACCOUNT, STORE, PassageQuery("beacon", 5))
    indexes.drop(ACCOUNT, STORE)
    indexes.replace(ACCOUNT, STORE, "file_1", "a.txt", [Chunk("", "beacon")])
    assert len(indexes.find(ACCOUNT, STORE, PassageQuery("beacon", 5))) == 1


def test_dropping_an_index_deletes_its_files(tmp_path: Path) -> None:
    indexes = FolderIndexes(tmp_path)
    indexes.replace(ACCOUNT, STORE, "file_1", "a.txt", [Chunk("", "beacon")])
    indexes.drop(ACCOUNT, STORE)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_common_word_in_a_small_store_has_a_score_above_zero(tmp_path: Path) -> None:
    """Plain BM25 gives nearly no weight to a word that is in every passage."""
    indexes = FolderIndexes(tmp_path)
    indexes.replace(ACCOUNT, STORE, "file_1", "a.txt", [Chunk("", "beacon"), Chunk("", "beacon beacon light")])
    hits = indexes.find(ACCOUNT, STORE, PassageQuery("beacon", 5))
    assert len(hits) == 2 and all(hit.score > 0.2 for hit in hits)


def test_the_title_counts_more_than_the_text(tmp_path: Path) -> None:
    indexes = FolderIndexes(tmp_path)
    chunks = [
        Chunk("Weather", "the beacon is mentioned here once"),
        Chunk("Beacon", "an article on something else entirely"),
    ]
    indexes.replace(ACCOUNT, STORE, "file_1", "a.txt", chunks)
    assert indexes.find(ACCOUNT, STORE, PassageQuery("beacon", 5))[0].text.startswith("Beacon")


def test_the_words_of_a_files_name_find_it(tmp_path: Path) -> None:
    indexes = FolderIndexes(tmp_path)
    indexes.replace(ACCOUNT, STORE, "file_1", "vacation_policy-2026.pdf", [Chunk("", "Twenty days.")])
    assert len(indexes.find(ACCOUNT, STORE, PassageQuery("vacation policy", 5))) == 1


def test_a_search_has_a_deadline_and_the_index_answers_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexes = FolderIndexes(tmp_path)
    chunks = [Chunk("", f"beacon lamp{number % 7} keeper{number % 5}") for number in range(3_000)]
    indexes.replace(ACCOUNT, STORE, "file_1", "a.txt", chunks)
    monkeypatch.setattr(database, "FIND_SECONDS", 0.0)
    with pytest.raises(SearchUnavailable):
        indexes.find(ACCOUNT, STORE, PassageQuery("beacon lamp1 keeper2 nothing", 50))
    monkeypatch.undo()
    assert len(indexes.find(ACCOUNT, STORE, PassageQuery("beacon lamp1", 50))) == 50


OF_AN_EARLIER_VERSION = """
CREATE TABLE files (file_id TEXT PRIMARY KEY, filename TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, file_id TEXT NOT NULL, position INTEGER NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL,
    signs BLOB, vector BLOB, UNIQUE (file_id, position)
);
CREATE VIRTUAL TABLE words USING fts5(title, text, content='', contentless_delete=1, tokenize='ascii', columnsize=1);
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, 'row');
INSERT INTO files VALUES ('file_1', 'a.txt');
INSERT INTO chunks VALUES (1, 'file_1', 0, '', 'beacon', x'80', x'0000803F00000000');
INSERT INTO words (rowid, title, text) VALUES (1, 'a', 'beacon');
PRAGMA user_version = 1;
"""


def of_an_earlier_version(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = apsw.Connection(str(path))
    connection.execute(OF_AN_EARLIER_VERSION)
    connection.close()


def test_an_index_of_an_earlier_version_is_searched_by_words_until_it_has_new_vectors(tmp_path: Path) -> None:
    indexes = FolderIndexes(tmp_path)
    of_an_earlier_version(tmp_path / "index" / ACCOUNT / f"{STORE}.db")
    near = Asked(packed([1.0, 0.0]), EmbeddingModel("m", floor=0.5))
    assert indexes.without(ACCOUNT, STORE, "m") == {"file_1"}
    assert [hit.text for hit in indexes.find(ACCOUNT, STORE, PassageQuery("beacon", 5, near))] == ["beacon"]
    assert indexes.find(ACCOUNT, STORE, PassageQuery("lamp", 5, near)) == [], "nobody knows which model made its vector"
    indexes.replace(ACCOUNT, STORE, "file_2", "b.txt", [Chunk("", "other")], Vectors("m", [packed([0.0, 1.0])]))
    assert indexes.without(ACCOUNT, STORE, "m") == {"file_1"}
    indexes.replace(ACCOUNT, STORE, "file_1", "a.txt", [Chunk("", "beacon")], Vectors("m", [packed([1.0, 0.0])]))
    assert indexes.without(ACCOUNT, STORE, "m") == set()
    assert [hit.text for hit in indexes.find(ACCOUNT, STORE, PassageQuery("lamp", 5, near))] == ["beacon"]


def test_two_processes_that_prepare_an_earlier_index_at_once_both_succeed(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    of_an_earlier_version(path)
    with opened(path, shared=True) as one, opened(path, shared=True) as other:
        assert not database.has_models(one) and not database.has_models(other)
        database.prepare(one)
        database.prepare(other)
        assert database.has_models(other)
