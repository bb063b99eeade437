"""The text of an uploaded file, extracted once and stored, so that a second vector store does not parse it again."""

import gzip
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from weakref import WeakValueDictionary

from sluice.domain.documents import keys
from sluice.domain.documents.document import File, Unreadable
from sluice.domain.documents.passages import Block
from sluice.ports.documents import Blobs

PACKING = 3
GZIP = b"\x1f\x8b"
NO_CONTENT = "The upload of this file broke off: it has no content."


def blocks_of(kept: bytes) -> list[Block]:
    """The text as it is stored. Earlier versions did not compress it."""
    return [Block(**one) for one in json.loads(gzip.decompress(kept) if kept.startswith(GZIP) else kept)]


class _Lock:
    """A lock that a weak dictionary can hold; a plain `threading.Lock` cannot be referenced weakly."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


_any = threading.Lock()
_reading: WeakValueDictionary[str, _Lock] = WeakValueDictionary()  # by file id, while a thread uses it


@dataclass(frozen=True)
class FileText:
    blobs: Blobs
    read: Callable[[File, bytes], Sequence[Block]]
    """Parses a file. Errors: Unreadable."""

    def blocks(self, file: File) -> Sequence[Block]:
        """Concurrent calls for one file parse it once; the others wait. Errors: Unreadable, StoreUnavailable."""
        with _any:
            held = _reading.setdefault(file.file_id, _Lock())
        with held.lock:
            return self._read_once(file)

    def _read_once(self, file: File) -> Sequence[Block]:
        kept = self.blobs.get(keys.text_key(file.account_id, file.file_id))
        if kept is not None:
            return blocks_of(kept)
        body = self.blobs.get(keys.file_key(file.account_id, file.file_id))
        if body is None:
            raise Unreadable(NO_CONTENT)
        blocks = self.read(file, body)
        text = json.dumps([asdict(block) for block in blocks], ensure_ascii=False, separators=(",", ":"))
        packed = gzip.compress(text.encode("utf-8", "replace"), PACKING)  # an upload of 70 KB may hold 8 MB of text
        self.blobs.put(keys.text_key(file.account_id, file.file_id), packed)
        return blocks
