"""Search in one index: by words, and also by meaning if the query has a vector."""

from dataclasses import replace

import apsw

from sluice.adapters.documents.search.calibration import measured_unrelated
from sluice.adapters.documents.search.database import has_models, snapshot
from sluice.adapters.documents.search.meaning import cosines, hit_at, nearest
from sluice.adapters.documents.search.reading import COVERAGE, Hit, by_words
from sluice.domain.documents.document import Passage
from sluice.domain.documents.nearness import Asked, Scale, scale_of
from sluice.ports.documents import PassageQuery


def passages(connection: apsw.Connection, store_id: str, query: PassageQuery, floor: float | None) -> list[Passage]:
    """`floor`: the owner's least cosine of a match by meaning, instead of the model's and the store's."""
    with snapshot(connection):  # else a file that is removed between two reads makes the second fail
        if query.near is None or not has_models(connection):
            found = by_words(connection, query.text, query.limit, COVERAGE if query.floored else 0.0, query.file_ids)
        else:
            measured = measured_unrelated(connection, query.near.model.id)
            found = _both(connection, query, query.near, scale_of(query.near.model, measured, floor))
    return [_passage(store_id, one) for one in found]


def _both(connection: apsw.Connection, query: PassageQuery, asked: Asked, scale: Scale) -> list[Hit]:
    """By words and by meaning. A passage that both find scores higher than by either."""
    words = {one.chunk_id: one for one in by_words(connection, query.text, query.limit, only=query.file_ids)}
    near = nearest(connection, asked, scale, query.file_ids)
    if query.strict and not words and not near.leads:
        return []
    close = [one for one in near.found[: query.limit] if not query.floored or one[0] >= scale.floor]
    scores = {place: scale.score(cosine) for cosine, place in (*cosines(connection, asked, words), *close)}
    for place, one in words.items():
        scores[place] = 1 - (1 - one.score) * (1 - scores.get(place, 0.0))
    best = sorted(scores, key=lambda place: (-scores[place], place))[: query.limit]
    found = [replace(words.get(place) or hit_at(connection, place), score=scores[place]) for place in best]
    return found if query.floored else found + _rest(connection, query, found)


def _rest(connection: apsw.Connection, query: PassageQuery, found: list[Hit]) -> list[Hit]:
    """Passages with some of the words, such as those of files without vectors, behind all others."""
    known, least = {one.chunk_id for one in found}, min((one.score for one in found), default=1.0)
    some = by_words(connection, query.text, query.limit, 0.0, query.file_ids) if len(found) < query.limit else []
    others = [replace(one, score=min(one.score, least)) for one in some if one.chunk_id not in known]
    return others[: query.limit - len(found)]


def _passage(store_id: str, hit: Hit) -> Passage:
    """The text starts with the headings above it, because many passages cannot be understood without them."""
    text = f"{hit.title}\n{hit.text}" if hit.title else hit.text
    return Passage(store_id, hit.file_id, hit.filename, hit.position, text, round(hit.score, 6))
