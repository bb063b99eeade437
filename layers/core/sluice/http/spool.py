"""Reads a document to its end, or a long way, before sending any of it."""

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import IO

IN_MEMORY_BYTES = 1 << 20
PIECE_BYTES = 1 << 16
READ_AHEAD_BYTES = 64 << 20


def spooled(document: Iterator[bytes]) -> Iterator[bytes]:
    """The document in pieces. 64 MiB are read before the first piece is yielded, so that a store failure half-way gives
    a 503 and not half a document; of a longer document it breaks the connection. What exceeds 1 MiB is held in an
    unnamed temporary file.

    Errors: those of reading `document`.
    """
    file = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (`_pieces` closes it)
    try:
        for piece in document:
            file.write(piece)
            if file.tell() >= READ_AHEAD_BYTES:
                break
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return _pieces(file, document)


def _pieces(file: IO[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece
    yield from rest
