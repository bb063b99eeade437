"""Reads a long document to its end before sending any of it."""

from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import IO

IN_MEMORY_BYTES = 1 << 20
PIECE_BYTES = 1 << 16


def spooled(document: Iterable[bytes]) -> Iterator[bytes]:
    """The document in pieces. All of it is read before the first piece is yielded, so that a store failure half-way
    gives a 503 and not half a document. What exceeds 1 MiB is held in an unnamed temporary file.

    Errors: those of reading `document`.
    """
    file = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (`_pieces` closes it)
    try:
        file.writelines(document)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return _pieces(file)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece
