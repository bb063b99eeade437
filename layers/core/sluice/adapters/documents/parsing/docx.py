"""DOCX by python-docx: headings, paragraphs, tables row by row. The ZIP's sizes are checked before it is unpacked."""

import io
import zipfile
from collections.abc import Iterator

from sluice.adapters.documents.parsing.limits import CannotRead

MOST_UNPACKED_BYTES = 64 * 1024 * 1024
MOST_PARTS = 2_000
MAIN_PART = "word/document.xml"


def read(body: bytes) -> Iterator[tuple[int, str]]:
    _look(body)
    from docx import Document
    from docx.opc.exceptions import OpcError
    from docx.table import Table
    from lxml.etree import LxmlError  # type: ignore[import-untyped]

    try:
        document = Document(io.BytesIO(body))
        for block in document.iter_inner_content():
            if isinstance(block, Table):
                for row in block.rows:
                    yield 0, " | ".join(dict.fromkeys(cell.text.strip() for cell in row.cells))
            else:
                yield _level(block.style.name if block.style else ""), block.text
    except (OpcError, LxmlError, KeyError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as exc:
        raise CannotRead("This DOCX file is damaged.") from exc


def _look(body: bytes) -> None:
    try:
        parts = zipfile.ZipFile(io.BytesIO(body)).infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as exc:
        raise CannotRead("This is a damaged DOCX file, or another kind of ZIP archive.") from exc
    if MAIN_PART not in {part.filename for part in parts}:
        raise CannotRead("This is a ZIP archive, and no DOCX file.")
    if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > MOST_UNPACKED_BYTES:
        raise CannotRead(f"Unpacked, this DOCX file is larger than {MOST_UNPACKED_BYTES // 2**20} MiB.")


def _level(style: str | None) -> int:
    if style == "Title":
        return 1
    kind, _, number = (style or "").partition(" ")
    return min(int(number), 6) if kind == "Heading" and number.isdigit() else 0
