"""The kind of a file, from its first bytes. The file name decides only between kinds of text."""

import re

from sluice.adapters.documents.parsing.limits import CannotRead

SNIFFED_BYTES = 4_096
IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"BM", b"GIF87a", b"GIF89a")
HTML = re.compile(rb"\s*(<!--.*?-->\s*)*(<!doctype\s+html|<html|<head|<body)", re.IGNORECASE | re.DOTALL)
TAG = re.compile(rb"<(p|div|span|h[1-6]|ul|table|a|br|section|article)\b[^>]*>", re.IGNORECASE)
MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
UNKNOWN = "This is no text, Markdown, HTML, PDF or DOCX file, nor an image."


def kind_of(filename: str, body: bytes) -> str:
    """Errors: CannotRead."""
    head = body[:SNIFFED_BYTES]
    if not body.strip():
        raise CannotRead("The file is empty.")
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        return "docx"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise CannotRead("This is an older Office file: save it as DOCX or PDF.")
    if head.startswith(IMAGES) and (b"\x00" in head):
        return "image"
    if b"\x00" in head and not head.startswith(MARKS):
        raise CannotRead(UNKNOWN)
    ending = filename.lower().rpartition(".")[2]
    if HTML.match(head) or (ending in ("html", "htm", "xhtml") and TAG.search(head)):
        return "html"
    return "markdown" if ending in ("md", "markdown", "mdx") else "text"
