"""Search by meaning: the passages with the vectors nearest to the query's. And the merge with the search by words."""

import heapq
from collections.abc import Sequence
from dataclasses import replace

import apsw

from sluice.adapters.documents.search.database import is_prepared, rows
from sluice.adapters.documents.search.reading import Hit
from sluice.domain.documents.vectors import cosine, signs, unpacked

COMPARED = 200
"""Only the vectors with the most equal signs are compared exactly."""
RANK = 60
"""The constant k of reciprocal rank fusion (Cormack, Clarke, Büttcher, 2009)."""


def by_meaning(connection: apsw.Connection, vector: bytes, limit: int, floor: float) -> list[Hit]:
    """Nearest first, with a cosine of at least `floor`. Vectors of another model (another size) are ignored."""
    if not is_prepared(connection):
        return []
    wanted = int.from_bytes(signs(vector), "big")
    held = connection.execute("SELECT id, signs FROM chunks WHERE length(vector) = ?", (len(vector),))
    likely = heapq.nsmallest(
        COMPARED, ((int.from_bytes(bits, "big") ^ wanted).bit_count() << 32 | place for place, bits in held)
    )
    plain, scored = unpacked(vector), []
    for packed in likely:
        place = packed & 0xFFFFFFFF
        ((stored,),) = rows(connection, "SELECT vector FROM chunks WHERE id = ?", (place,))
        near = cosine(plain, unpacked(stored))
        if near >= floor:
            scored.append((near, place))
    scored.sort(reverse=True)
    return [_hit(connection, place, near) for near, place in scored[:limit]]


def _hit(connection: apsw.Connection, place: int, score: float) -> Hit:
    ((file_id, filename, position, title, text),) = rows(
        connection,
        "SELECT chunks.file_id, filename, position, title, text FROM chunks JOIN files USING (file_id) WHERE id = ?",
        (place,),
    )
    return Hit(place, file_id, filename, position, title, text, score)


def merged(*rankings: Sequence[Hit], limit: int) -> list[Hit]:
    """Merged by reciprocal rank. A score of 1 means the first place in every ranking."""
    scores: dict[int, float] = {}
    hits: dict[int, Hit] = {}
    for ranking in rankings:
        for place, hit in enumerate(ranking, 1):
            scores[hit.chunk_id] = scores.get(hit.chunk_id, 0.0) + 1 / (RANK + place)
            hits.setdefault(hit.chunk_id, hit)
    best = sorted(scores, key=lambda chunk: (-scores[chunk], chunk))[:limit]
    return [replace(hits[chunk], score=scores[chunk] * (RANK + 1) / len(rankings)) for chunk in best]
