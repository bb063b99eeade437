"""A long document, read to its end before any of it is sent."""

from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import IO

IN_MEMORY_BYTES = 1 << 20
PIECE_BYTES = 1 << 16


def spooled(document: Iterable[bytes]) -> Iterator[bytes]:
    """The document in pieces. All of it is read before the first piece is given out, so that a store that goes away
    half-way is a 503 and not half a document; what does not fit in memory waits in a file that has no name.

    Errors: those of reading `document`.
    """
    file = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (closed by whoever reads it)
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
