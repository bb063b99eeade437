"""Upload the files of a folder into a vector store. Repeating it changes nothing.

A file with the same name and content stays as it is. If the content differs, the new file is added first, and the old
one is deleted once the new one can be found. The next run continues an interrupted one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from sluice.domain.documents.document import File
from sluice.domain.errors import NotFound
from sluice.services.documents.files import Files
from sluice.services.documents.vector_stores import VectorStores

ALL = 100_000
PURPOSE = "assistants"


@dataclass
class Seeding:
    """One run for one vector store. Errors of all: StoreUnavailable, StorageFull, ValidationFailed, NotFound."""

    files: Files
    stores: VectorStores
    account_id: str
    store_id: str
    put: list[File] = field(default_factory=list)
    unchanged: int = 0

    def add(self, name: str, body: bytes, now_ms: int) -> None:
        digest = sha256(body).hexdigest()
        same = next((file for file in self._called(name) if file.sha256 == digest and file.status != "error"), None)
        if same is None:
            same = self.files.upload(self.account_id, name, PURPOSE, body, now_ms)
            self._known.setdefault(name, []).append(same)
        else:
            self.unchanged += 1
        self.stores.attach(self.account_id, self.store_id, same.file_id, {}, now_ms)
        self.put.append(same)

    def waiting(self) -> int:
        """How many files are not in the index yet."""
        return sum(self._status(file) == "in_progress" for file in self.put)

    def failed(self) -> Iterator[tuple[File, str]]:
        for file in self.put:
            try:
                attachment = self.stores.attachment(self.account_id, self.store_id, file.file_id)
            except NotFound:
                continue
            if attachment.status == "failed":
                yield file, str(attachment.error)

    def retire(self) -> int:
        """Delete replaced files of this store: older ones whose successor of the same name can be found. → how many."""
        gone = 0
        attached = {one.file_id for one in self.stores.attachments(self.account_id, self.store_id)}
        for new in self.put:
            if self._status(new) != "completed":
                continue
            for old in self._called(new.filename):
                if old.file_id < new.file_id and old.file_id in attached:
                    self.files.delete(self.account_id, old.file_id)
                    self._known[new.filename].remove(old)
                    gone += 1
        return gone

    def _status(self, file: File) -> str:
        try:
            return self.stores.attachment(self.account_id, self.store_id, file.file_id).status
        except NotFound:
            return "gone"

    def _called(self, name: str) -> list[File]:
        return list(self._known.get(name, ()))

    def __post_init__(self) -> None:
        self._known: dict[str, list[File]] = {}
        found, _ = self.files.page(self.account_id, limit=ALL, after_id=None, newest_first=True)
        for file in found:
            self._known.setdefault(file.filename, []).append(file)
