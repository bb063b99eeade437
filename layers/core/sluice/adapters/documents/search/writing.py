"""Adding passages to an index and removing them."""

from collections.abc import Sequence

import apsw

from sluice.adapters.documents.search.calibration import calibrate
from sluice.adapters.documents.search.database import change, prepare, rows
from sluice.adapters.documents.search.terms import indexed
from sluice.domain.documents.passages import Chunk
from sluice.domain.documents.vectors import Vectors, signs


def replace(
    connection: apsw.Connection,
    file_id: str,
    filename: str,
    chunks: Sequence[Chunk],
    vectors: Vectors | None = None,
) -> None:
    """Replace all passages of the file by these."""
    prepare(connection)
    terms = [
        (" ".join(indexed(f"{chunk.title} {_words_of(filename)}")), " ".join(indexed(chunk.text))) for chunk in chunks
    ]
    near = [(signs(vector), vector) for vector in vectors.each] if vectors else [(None, None)] * len(chunks)
    with change(connection):
        _remove(connection, file_id)
        model = vectors.model if vectors else None
        connection.execute("INSERT INTO files (file_id, filename, model) VALUES (?, ?, ?)", (file_id, filename, model))
        for position, (chunk, (title, text)) in enumerate(zip(chunks, terms, strict=True)):
            connection.execute(
                "INSERT INTO chunks (file_id, position, title, text, signs, vector) VALUES (?, ?, ?, ?, ?, ?)",
                (file_id, position, chunk.title, chunk.text, *near[position]),
            )
            place = connection.last_insert_rowid()
            connection.execute("INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", (place, title, text))
        if vectors:
            calibrate(connection, vectors.model)


def remove(connection: apsw.Connection, file_id: str) -> None:
    prepare(connection)
    with change(connection):
        _remove(connection, file_id)


def _remove(connection: apsw.Connection, file_id: str) -> None:
    for (place,) in rows(connection, "SELECT id FROM chunks WHERE file_id = ?", (file_id,)):
        connection.execute("DELETE FROM words WHERE rowid = ?", (place,))
    connection.execute("DELETE FROM chunks WHERE file_id = ?", (file_id,))
    connection.execute("DELETE FROM files WHERE file_id = ?", (file_id,))


def _words_of(filename: str) -> str:
    """The words of a file name without its extension: `vacation_policy-2026.pdf` → vacation policy 2026."""
    stem = filename.rpartition(".")[0] or filename
    return stem.replace("_", " ")
