"""Names and sizes of uploaded files, and ids of files, vector stores and uploads."""

import hashlib
import re
from collections.abc import Mapping

from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.domain.ids import ulid, ulid_of
from sluice.domain.phrases import phrase

MAX_FILE_BYTES = 4 * 1024 * 1024
MIB = 1024 * 1024
FILENAME_CHARACTERS, ENDING_CHARACTERS = 255, 16
MAX_ATTRIBUTES, KEY_CHARACTERS, VALUE_CHARACTERS = 16, 64, 512
FILE, STORE, BATCH, UPLOAD, PART = "file_", "vs_", "vsfb_", "upload_", "part_"
IDENTIFIER = re.compile(r"(file|vs|vsfb|upload|part)_[0-9A-HJKMNP-TV-Z]{26}")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

Attributes = Mapping[str, str | float | bool]


def new_id(prefix: str, now_ms: int) -> str:
    """A prefix and a ULID, so that ids sort by time; it has 80 random bits."""
    return prefix + ulid(now_ms)


def own_store_id(account_id: str) -> str:
    """The id of the vector store for documents of the web pages, computed without reading the store."""
    return STORE + ulid_of(hashlib.sha256(f"my documents {account_id}".encode()).digest()[:16])


def is_id(prefix: str, text: str) -> bool:
    """Whether `text` has the form of an id, so that the store is not asked for other keys."""
    return text.startswith(prefix) and IDENTIFIER.fullmatch(text) is not None


def clean_filename(sent: str, field: str = "file") -> str:
    """The last part of the sent path, without characters that could make it look like another name.
    Errors: ValidationFailed (empty or too long)."""
    name = UNPRINTABLE.sub("", re.split(r"[/\\]", sent)[-1]).strip()
    if not name or name in (".", ".."):
        raise ValidationFailed((FieldProblem(field, "The file needs a name."),))
    if len(name) > FILENAME_CHARACTERS:
        raise ValidationFailed(
            (FieldProblem(field, phrase("A file name has %(most)s characters at most.", most=FILENAME_CHARACTERS)),)
        )
    return name


def numbered(name: str, number: int) -> str:
    """`notes (2).txt`, not longer than a name may be."""
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > ENDING_CHARACTERS:
        stem, dot, ending = name, "", ""
    after = f" ({number}){dot}{ending}"
    return stem[: FILENAME_CHARACTERS - len(after)] + after
