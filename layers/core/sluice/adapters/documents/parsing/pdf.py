"""PDF by pypdf. Pages that hold only images are read by OCR if it is installed."""

import io
import re
from collections.abc import Iterator
from typing import Any

from sluice.adapters.documents.parsing.image import MOST_PAGES_SEEN, Ocr
from sluice.adapters.documents.parsing.limits import CannotRead

MOST_PAGES = 1_000
PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")


def read(body: bytes) -> Iterator[tuple[int, str]]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(body))
        if reader.is_encrypted and not reader.decrypt(""):
            raise CannotRead("This PDF file asks for a password.")
        pages = len(reader.pages)
    except (PyPdfError, ValueError, LookupError, TypeError, AttributeError, OSError) as exc:
        raise CannotRead("This PDF file is damaged.") from exc
    if pages > MOST_PAGES:
        raise CannotRead(f"This PDF file has {pages} pages; {MOST_PAGES} are read at most.")
    yield from _pages(reader)


def _pages(reader: Any) -> Iterator[tuple[int, str]]:
    ocr, found, unread, damaged = Ocr(), False, 0, 0
    for page in reader.pages:
        try:
            text = page.extract_text() or ""
        except RecursionError:
            raise
        except Exception:  # pypdf raises many kinds of error for a broken page; others may be readable
            text, damaged = "", damaged + 1
        if not text.strip():
            text, missed = _seen(page, ocr)
            unread += missed
        for paragraph in PARAGRAPHS.split(text):
            found = found or bool(paragraph.strip())
            yield 0, paragraph
    if not found:
        raise CannotRead(_why(ocr, unread, damaged))


def _seen(page: Any, ocr: Ocr) -> tuple[str, bool]:
    """The text of a page's images, and whether some images were not read."""
    try:
        images = list(page.images.keys())
        if not images or not ocr.can_read:
            return "", bool(images)
        return "\n\n".join(ocr.text(page.images[name].image) for name in images), False
    except CannotRead:
        return "", True
    except Exception:  # as above, for an image that neither pypdf nor Pillow can read
        return "", True


def _why(ocr: Ocr, unread: int, damaged: int) -> str:
    if unread and not ocr.installed:
        return "The pages are images, and no OCR engine (tesseract) is installed where this service runs."
    if unread:
        return f"The pages are images in which no text was found ({MOST_PAGES_SEEN} are looked at, at most)."
    return "This PDF file is damaged." if damaged else "There is no text in this PDF file."
