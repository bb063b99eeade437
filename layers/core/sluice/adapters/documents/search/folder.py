"""The indexes of one machine: database files in the data directory. WAL mode lets reads and writes run at once."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sluice.adapters.documents.search import writing
from sluice.adapters.documents.search.database import file_ids, files_without, opened
from sluice.adapters.documents.search.found import passages
from sluice.domain.documents.document import Passage
from sluice.domain.documents.keys import index_key
from sluice.domain.documents.passages import Chunk
from sluice.domain.documents.vectors import Vectors
from sluice.domain.errors import SearchUnavailable
from sluice.ports.documents import PassageQuery

BESIDE_IT = ("", "-wal", "-shm")


class FolderIndexes:
    """`sluice.ports.documents.Indexes`. `root` is also the blobs' folder, so erasing an account deletes both."""

    def __init__(self, root: Path, floor: float | None = None) -> None:
        """`floor`: the owner's own, of every store and model."""
        self._root, self._floor = root, floor

    def replace(
        self,
        account_id: str,
        store_id: str,
        file_id: str,
        filename: str,
        chunks: Sequence[Chunk],
        vectors: Vectors | None = None,
    ) -> None:
        path = self._path(account_id, store_id)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise SearchUnavailable() from exc
        with opened(path, shared=True) as connection:
            writing.replace(connection, file_id, filename, chunks, vectors)

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

    def find(self, account_id: str, store_id: str, query: PassageQuery) -> list[Passage]:
        path = self._path(account_id, store_id)
        if not path.exists():
            return []
        with opened(path, shared=True) as connection:
            return passages(connection, store_id, query, self._floor)

    def files(self, account_id: str, store_id: str) -> set[str]:
        path = self._path(account_id, store_id)
        if not path.exists():
            return set()
        with opened(path, shared=True) as connection:
            return file_ids(connection)

    def without(self, account_id: str, store_id: str, model: str) -> set[str]:
        path = self._path(account_id, store_id)
        if not path.exists():
            return set()
        with opened(path, shared=True) as connection:
            return files_without(connection, model)

    def _path(self, account_id: str, store_id: str) -> Path:
        return self._root / index_key(account_id, store_id)
