"""Plain text: detect the encoding, then split into paragraphs."""

import re
from collections.abc import Iterator

from sluice.adapters.documents.parsing.limits import CannotRead

SAMPLE_BYTES = 64 * 1024
PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
MOST_UNREADABLE = 0.05


def decoded(body: bytes) -> str:
    """The text, as UTF-8 or UTF-16 if valid, else as charset-normalizer detects. Errors: CannotRead."""
    for encoding, wanted in (("utf-8-sig", True), ("utf-16", body[:2] in (b"\xff\xfe", b"\xfe\xff"))):
        if wanted:
            try:
                return _checked(body.decode(encoding))
            except UnicodeDecodeError:
                continue
    from charset_normalizer import from_bytes

    best = from_bytes(body[:SAMPLE_BYTES]).best()
    if best is None:
        raise CannotRead("The encoding of the text was not recognised. Save the file as UTF-8.")
    return _checked(body.decode(best.encoding, "replace"))


def _checked(text: str) -> str:
    """Refuse binary data, because random bytes can also be decoded as text."""
    odd = sum(text.count(chr(code)) for code in [*range(9), *range(14, 32), 0xFFFD])
    if odd > MOST_UNREADABLE * len(text):
        raise CannotRead("This is no text, Markdown, HTML, PDF or DOCX file, nor an image.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read(body: bytes) -> Iterator[tuple[int, str]]:
    for paragraph in PARAGRAPHS.split(decoded(body)):
        yield 0, paragraph
