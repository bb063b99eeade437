"""Search by meaning: the passages with the vectors nearest to the question's, of the same model."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import apsw

from sluice.adapters.documents.search.database import Only, in_files, rows
from sluice.adapters.documents.search.reading import Hit
from sluice.domain.documents.nearness import Asked, Scale
from sluice.domain.documents.vectors import cosine, signs, unpacked

COMPARED = 200
"""Only the vectors with the most equal signs are compared exactly."""
OF_MODEL = """
SELECT id, signs FROM chunks INDEXED BY signs_of_files
WHERE file_id IN (SELECT file_id FROM files WHERE model = ?) AND length(signs) = ?
"""
"""The index holds all that it reads; the rows are twenty times larger."""
AND_IN_FILES = "AND file_id IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True)
class Nearest:
    """Cosine and place of passages, nearest first."""

    found: list[tuple[float, int]]
    leads: bool
    """Whether the first stands out (`Scale.leads`)."""


def nearest(connection: apsw.Connection, asked: Asked, scale: Scale, only: Only = None) -> Nearest:
    """The `COMPARED` likeliest passages, `only` of these files. Vectors of another model are ignored."""
    bits = signs(asked.vector)
    wanted = int.from_bytes(bits, "big")
    held = connection.execute(
        OF_MODEL + (AND_IN_FILES if only is not None else ""), (asked.model.id, len(bits), *in_files(only))
    )
    likely = heapq.nsmallest(
        COMPARED, ((int.from_bytes(its, "big") ^ wanted).bit_count() << 32 | place for place, its in held)
    )
    found = sorted(cosines(connection, asked, [one & 0xFFFFFFFF for one in likely]), reverse=True)
    return Nearest(found, bool(found) and _leads(connection, found, scale))


def cosines(connection: apsw.Connection, asked: Asked, places: Iterable[int]) -> list[tuple[float, int]]:
    """Cosine and place of those of the passages that have a vector of the question's model."""
    plain = unpacked(asked.vector)
    return [
        (cosine(plain, unpacked(vector)), place)
        for place in places
        for (vector,) in rows(
            connection,
            "SELECT vector FROM chunks JOIN files USING (file_id) WHERE id = ? AND model = ? AND vector IS NOT NULL",
            (place, asked.model.id),
        )
    ]


def _leads(connection: apsw.Connection, found: list[tuple[float, int]], scale: Scale) -> bool:
    """Passages that say nearly the same as the best, such as another version of its file, do not compete with it."""
    best = _vector(connection, found[0][1])
    others = (near for near, place in found[1:] if not scale.alike(cosine(best, _vector(connection, place))))
    return scale.leads(found[0][0], next(others, None))


def _vector(connection: apsw.Connection, place: int) -> Sequence[float]:
    ((vector,),) = rows(connection, "SELECT vector FROM chunks WHERE id = ?", (place,))
    return unpacked(vector)


def hit_at(connection: apsw.Connection, place: int) -> Hit:
    ((file_id, filename, position, title, text),) = rows(
        connection,
        "SELECT chunks.file_id, filename, position, title, text FROM chunks JOIN files USING (file_id) WHERE id = ?",
        (place,),
    )
    return Hit(place, file_id, filename, position, title, text)
