"""The indexes of one machine: database files in the data directory, read while they are written (WAL)."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sluice.adapters.search import reading, writing
from sluice.adapters.search.database import opened
from sluice.adapters.search.found import passage
from sluice.domain.document_keys import index_key
from sluice.domain.documents import Passage
from sluice.domain.errors import SearchUnavailable
from sluice.domain.passages import Cut

BESIDE_IT = ("", "-wal", "-shm")


class FolderIndexes:
    """`sluice.ports_documents.Indexes`. `root` is the blobs' folder, so that erasing an account finds these too."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def replace(self, account_id: str, store_id: str, file_id: str, filename: str, cuts: Sequence[Cut]) -> None:
        path = self._path(account_id, store_id)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise SearchUnavailable() from exc
        with opened(path, shared=True) as connection:
            writing.replace(connection, file_id, filename, cuts)

    def remove(self, account_id: str, store_id: str, file_id: str) -> None:
        path = self._path(account_id, store_id)
        if path.exists():
            with opened(path, shared=True) as connection:
                writing.remove(connection, file_id)

    def drop(self, account_id: str, store_id: str) -> None:
        path = self._path(account_id, store_id)
        for ending in BESIDE_IT:
            with suppress(OSError):
                path.with_name(path.name + ending).unlink(missing_ok=True)

    def find(self, account_id: str, store_id: str, query: str, limit: int) -> list[Passage]:
        path = self._path(account_id, store_id)
        if not path.exists():
            return []
        with opened(path, shared=True) as connection:
            return [passage(store_id, hit) for hit in reading.by_words(connection, query, limit)]

    def _path(self, account_id: str, store_id: str) -> Path:
        return self._root / index_key(account_id, store_id)
