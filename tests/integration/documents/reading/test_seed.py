"""`sluice docs seed` puts a folder into a vector store and can be repeated."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infra.cli import main
from infra.commands import docs
from infra.local.ingestion import step
from sluice import settings
from sluice.domain.accounts.account import Account
from sluice.wiring import documents, stores
from tests.integration.documents.reading.place import ADA, Place

SET = Path(__file__).parents[3] / "data" / "documents" / "files"


@pytest.fixture
def seeded(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The command on this place, with its ingestion running beside it; the account is any."""
    monkeypatch.setattr(docs, "account_of", lambda user: _Somebody())
    monkeypatch.setattr("infra.commands.operator.use_running_store", lambda: None)
    monkeypatch.setattr(documents, "files", lambda: place.files)
    monkeypatch.setattr(documents, "vector_stores", lambda: place.stores)
    monkeypatch.setattr(stores, "vector_store_store", lambda: place.store_rows)
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            if not step(place.spool, place.handle):
                stopping.wait(0.05)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield place
    stopping.set()
    for thread in threads:
        thread.join()
    settings.common.cache_clear()


class _Somebody(Account):
    def __init__(self) -> None:
        object.__setattr__(self, "account_id", ADA)


def seed(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["docs", "seed", "--user", "ada@example.org", *map(str, arguments)])


def test_a_seeded_folder_is_found_and_a_second_seed_changes_nothing(seeded: Place) -> None:
    first = seed(SET, "--store", "handbook")
    assert first.exit_code == 0, first.output
    assert "60 new, 0 of them replace older ones, 0 unchanged, 0 could not be read" in first.output
    (store,) = seeded.stores.all(ADA)
    (found, *_) = seeded.find(store.store_id, "How deep is the deep end of the pool?")
    assert found.filename == "pool-safety.md"
    again = seed(SET, "--store", "handbook")
    assert "0 new, 0 of them replace older ones, 60 unchanged" in again.output
    assert len(seeded.stores.all(ADA)) == 1
    assert len(seeded.files.page(ADA, limit=1000, after_id=None, newest_first=True)[0]) == 60


def test_a_changed_file_replaces_the_older_one(seeded: Place, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "note.md").write_text("The harbour opens at six.")
    (folder / ".hidden").write_text("never")
    seed(folder)
    (folder / "below" / "note.md").write_text("The harbour opens at nine.")
    result = seed(folder)
    assert "1 new, 1 of them replace older ones" in result.output
    (store,) = seeded.stores.all(ADA)
    assert [hit.text for hit in seeded.find(store.store_id, "When does the harbour open?")] == [
        "The harbour opens at nine."
    ]
    (file,), _ = seeded.files.page(ADA, limit=10, after_id=None, newest_first=True)
    assert file.filename == "below - note.md"


def test_a_single_file_is_seeded_and_unreadable_ones_are_named(seeded: Place, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("The harbour.")
    assert seed(tmp_path / "good.txt").exit_code == 0
    (tmp_path / "bad.txt").write_bytes(b"\x7fELF\x00\x00")
    result = seed(tmp_path / "bad.txt")
    assert result.exit_code == 1
    assert "1 could not be read" in result.output and "bad.txt: This is no text" in result.output


def test_the_older_file_stays_if_the_newer_one_cannot_be_read(seeded: Place, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("The harbour opens at six.")
    seed(note)
    note.write_bytes(b"\x7fELF\x00\x00")
    assert seed(note).exit_code == 1
    (store,) = seeded.stores.all(ADA)
    assert seeded.find(store.store_id, "harbour")
