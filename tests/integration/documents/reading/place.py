"""The documents of a local run, with the real store, folder, spool and index."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.ingestion import Spool, step
from sluice.adapters.documents.blobs_folder import SPOOL, FolderBlobs
from sluice.adapters.documents.files import DynamoFiles
from sluice.adapters.documents.parsing.sandbox import parse
from sluice.adapters.documents.pending import DynamoPending
from sluice.adapters.documents.search.folder import FolderIndexes
from sluice.adapters.documents.vector_stores import DynamoVectorStores
from sluice.domain.documents.document import Attachment, File, Passage
from sluice.ports.documents import SearchRequest
from sluice.services.documents.files import Files
from sluice.services.documents.ingest import Ingestion
from sluice.services.documents.search import SearchDocuments
from sluice.services.documents.sweep import DocumentSweeper
from sluice.services.documents.vector_stores import VectorStores

ADA = "usr_0000000000000ada"
BOB = "usr_0000000000000b0b"
LIMIT_BYTES = 100 * 1024 * 1024


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Place:
    data_dir: Path
    rows: DynamoFiles
    store_rows: DynamoVectorStores
    blobs: FolderBlobs
    indexes: FolderIndexes
    waiting: DynamoPending
    files: Files
    stores: VectorStores
    ingestion: Ingestion
    spool: Spool

    def upload(self, filename: str, body: bytes, account_id: str = ADA) -> File:
        return self.files.upload(account_id, filename, "assistants", body, now_ms())

    def store(self, account_id: str = ADA) -> str:
        return self.stores.create(account_id, "store", {}, now_ms()).store_id

    def put(self, store_id: str, filename: str, body: bytes, account_id: str = ADA) -> File:
        file = self.upload(filename, body, account_id)
        self.stores.attach(account_id, store_id, file.file_id, {}, now_ms())
        return file

    @property
    def sweeper(self) -> DocumentSweeper:
        return DocumentSweeper(self.ingestion)

    def handle(self, event: dict[str, Any], _context: object) -> dict[str, Any]:
        """Handles events like `functions/ingestion`, with this place's adapters."""
        for record in event["Records"]:
            for put in json.loads(record["body"])["Records"]:
                kind, account_id, *names = put["s3"]["object"]["key"].split("/")
                if kind == "files":
                    self.ingestion.uploaded(account_id, names[0])
                else:
                    self.ingestion.changed(account_id, names[0], names[1])
        return {"batchItemFailures": []}

    def settle(self) -> None:
        """Handle events until none waits."""
        while step(self.spool, self.handle):
            pass

    def find(self, store_id: str, query: str, top_k: int = 5, account_id: str = ADA, **more: bool) -> list[Passage]:
        search = SearchDocuments(self.store_rows, self.indexes)
        return search.search(SearchRequest(account_id, [store_id], query, top_k, **more))

    def attachment(self, store_id: str, file: File) -> Attachment | None:
        return self.store_rows.attachment(file.account_id, store_id, file.file_id)


def make(data_dir: Path, prefix: str, read: Callable[..., Any] = parse) -> Place:
    rows, store_rows, waiting = DynamoFiles(prefix), DynamoVectorStores(prefix), DynamoPending(prefix)
    blobs = FolderBlobs(data_dir)
    indexes = FolderIndexes(blobs.root)
    files = Files(rows, store_rows, blobs, lambda account_id: LIMIT_BYTES)
    (data_dir / SPOOL).mkdir(parents=True, exist_ok=True)
    return Place(
        data_dir,
        rows,
        store_rows,
        blobs,
        indexes,
        waiting,
        files,
        VectorStores(store_rows, blobs, files),
        Ingestion(rows, store_rows, blobs, indexes, waiting, read),
        Spool(data_dir / SPOOL),
    )
