"""Search by words: passages that hold all that was asked for; where there are none, those that hold most of it.

FTS5 finds candidates, by its own BM25; these are scored once more here, with weights that also hold in a store of three
passages and from 0 to 1, so that the passages of two stores compare.

The floor is what "no relevant information" rests on: a passage counts only if the terms it holds make up most of the
weight of the terms asked for. Words that no passage knows weigh most, so a question about something else finds nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import apsw

from sluice.adapters.documents.search.database import Weights, is_prepared, rows
from sluice.adapters.documents.search.terms import Asked, asked, indexed

COVERAGE = 0.6
"""The least part of the asked terms' weight that a passage has to hold."""
CANDIDATES = 40
TITLE_WEIGHT = 2.0
BESIDE = 0.25
COMMON = 0.25
COMMON_FROM = 1_000
"""In an index of so many passages a term that a quarter of them hold is not looked for by itself: it only adds."""
# BM25's own: how soon more of the same word stops counting, and how much longer texts have to hold more of it.
SATURATION = 1.2
LENGTH_MATTERS = 0.5
USUAL_TERMS = 150


@dataclass(frozen=True)
class Hit:
    chunk_id: int
    file_id: str
    filename: str
    position: int
    title: str
    text: str
    score: float = 0.0


def by_words(connection: apsw.Connection, query: str, limit: int) -> list[Hit]:
    """Best first, with scores from 0 to 1."""
    terms = asked(query)
    if not terms.content or not is_prepared(connection):
        return []
    found = _matching(connection, " AND ".join(map(_quoted, terms.content)), max(limit, CANDIDATES))
    weights = Weights(connection, [*terms.content, *terms.beside])
    if not found and (rare := _rare(terms.content, weights)):
        found = _matching(connection, " OR ".join(map(_quoted, rare)), max(limit, CANDIDATES))
    scored = filter(None, (_scored(hit, terms, weights) for hit in found))
    return sorted(scored, key=lambda hit: (-hit.score, hit.file_id, hit.position))[:limit]


def _rare(terms: Sequence[str], weights: Weights) -> list[str]:
    found = [term for term in terms if weights.found[term]]
    if weights.passages < COMMON_FROM:
        return found
    return [term for term in found if weights.found[term] <= weights.passages * COMMON] or found


def _scored(hit: Hit, terms: Asked, weights: Weights) -> Hit | None:
    """None for what holds too little of the question."""
    text = indexed(hit.text)
    held: dict[str, float] = defaultdict(float)
    for weight, terms_there in ((1.0, text), (TITLE_WEIGHT, indexed(f"{hit.title} {hit.filename}"))):
        for term in terms_there:
            held[term] += weight
    whole = _sum(weights, terms.content)
    if _sum(weights, (term for term in terms.content if held[term])) < COVERAGE * whole:
        return None
    longer = 1 - LENGTH_MATTERS + LENGTH_MATTERS * len(text) / USUAL_TERMS

    def telling(wanted: Sequence[str]) -> float:
        return sum(weights.of(term) * held[term] / (held[term] + SATURATION * longer) for term in wanted)

    beside = BESIDE * _sum(weights, terms.beside)
    return replace(hit, score=(telling(terms.content) + BESIDE * telling(terms.beside)) / (whole + beside))


def _sum(weights: Weights, terms: Iterable[str]) -> float:
    return sum(weights.of(term) for term in terms)


def _matching(connection: apsw.Connection, match: str, limit: int) -> list[Hit]:
    found = rows(
        connection,
        f"""
        SELECT chunks.id, chunks.file_id, files.filename, position, chunks.title, chunks.text
        FROM (SELECT rowid AS id FROM words WHERE words MATCH ? AND rank MATCH 'bm25({TITLE_WEIGHT}, 1.0)'
              ORDER BY rank LIMIT ?) AS found
        JOIN chunks ON chunks.id = found.id JOIN files ON files.file_id = chunks.file_id
        """,
        (match, limit),
    )
    return [Hit(*row) for row in found]


def _quoted(term: str) -> str:
    """A term is letters and digits only; quoted all the same, so that none is an operator."""
    return '"' + term.replace('"', "") + '"'
