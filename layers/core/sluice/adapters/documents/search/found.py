"""Search in one index: by words, and also by meaning if the query has a vector."""

import apsw

from sluice.adapters.documents.search.database import snapshot
from sluice.adapters.documents.search.meaning import by_meaning, merged
from sluice.adapters.documents.search.reading import Hit, by_words
from sluice.domain.documents.document import Passage


def passages(
    connection: apsw.Connection, store_id: str, query: str, limit: int, vector: bytes | None, floor: float | None
) -> list[Passage]:
    """`floor`: the least cosine of a match by meaning; None: no floor, by words neither."""
    with snapshot(connection):  # else a file that is removed between two reads makes the second fail
        found = by_words(connection, query, limit) if floor is not None else by_words(connection, query, limit, 0.0)
        if vector is not None:
            near = by_meaning(connection, vector, limit, -1.0 if floor is None else floor)
            found = merged(found, near, limit=limit)
    return [_passage(store_id, hit) for hit in found]


def _passage(store_id: str, hit: Hit) -> Passage:
    """The text starts with the headings above it, because many passages cannot be understood without them."""
    text = f"{hit.title}\n{hit.text}" if hit.title else hit.text
    return Passage(store_id, hit.file_id, hit.filename, hit.position, text, round(hit.score, 6))
