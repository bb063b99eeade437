"""Search in one index: by words, and also by meaning if the query has a vector."""

import apsw

from sluice.adapters.documents.search.database import snapshot
from sluice.adapters.documents.search.meaning import by_meaning, merged
from sluice.adapters.documents.search.reading import COVERAGE, Hit, by_words
from sluice.domain.documents.document import Passage
from sluice.ports.documents import PassageQuery


def passages(connection: apsw.Connection, store_id: str, query: PassageQuery, floor: float) -> list[Passage]:
    """`floor`: the least cosine of a match by meaning, if the query is floored."""
    coverage, least = (COVERAGE, floor) if query.floored else (0.0, -1.0)
    with snapshot(connection):  # else a file that is removed between two reads makes the second fail
        found = by_words(connection, query.text, query.limit, coverage)
        if query.vector is not None:
            near = by_meaning(connection, query.vector, query.limit, least)
            found = merged(found, near, limit=query.limit)
    return [_passage(store_id, hit) for hit in found]


def _passage(store_id: str, hit: Hit) -> Passage:
    """The text starts with the headings above it, because many passages cannot be understood without them."""
    text = f"{hit.title}\n{hit.text}" if hit.title else hit.text
    return Passage(store_id, hit.file_id, hit.filename, hit.position, text, round(hit.score, 6))
