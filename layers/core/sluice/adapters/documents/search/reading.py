"""Search by words: passages that contain all terms of the query, or if there are none, those that contain most.

FTS5 finds candidates by its BM25. They are scored again here from 0 to 1, with weights that also work in a store of
three passages, so that passages of two stores can be compared.

COVERAGE decides that nothing relevant was found: a passage must contain terms with most of the query's weight. Terms
that no passage contains weigh most, so a query about another subject finds nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import apsw

from sluice.adapters.documents.search.database import Only, Weights, in_files, is_prepared, rows
from sluice.adapters.documents.search.terms import Asked, asked, counted

COVERAGE = 0.6
"""The least share of the query's weight that a passage must contain."""
CANDIDATES = 40
TITLE_WEIGHT = 2.0
BESIDE = 0.25
COMMON = 0.25
COMMON_FROM = 1_000
"""In an index of this many passages, a term in a quarter of them adds to scores but finds no candidates."""
# BM25's parameters: how soon repetitions stop counting (k1), and how much a passage's length matters (b).
SATURATION = 1.2
LENGTH_MATTERS = 0.5
USUAL_TERMS = 150

MATCHING = """
SELECT chunks.id, chunks.file_id, files.filename, position, chunks.title, chunks.text
FROM (SELECT rowid AS id FROM words WHERE words MATCH ? AND rank MATCH ? AND true ORDER BY rank LIMIT ?) AS found
JOIN chunks ON chunks.id = found.id JOIN files ON files.file_id = chunks.file_id
"""
AND_IN_FILES = "AND +rowid IN (SELECT id FROM chunks WHERE file_id IN (SELECT value FROM json_each(?)))"
"""The plus: looked at after the match, not instead of it."""


@dataclass(frozen=True)
class Hit:
    chunk_id: int
    file_id: str
    filename: str
    position: int
    title: str
    text: str
    score: float = 0.0


def by_words(
    connection: apsw.Connection, query: str, limit: int, coverage: float = COVERAGE, only: Only = None
) -> list[Hit]:
    """The best passages first, with scores from 0 to 1. `coverage`: the least part of the query's weight that a
    passage must contain; for 0 those with some of its terms count, too, where others have all. `only`: of these
    files."""
    terms = asked(query)
    if not terms.content or not is_prepared(connection):
        return []
    every = " AND ".join(map(_quoted, terms.content))
    found = _matching(connection, every, max(limit, CANDIDATES), only) if coverage else []
    weights = Weights(connection, [*terms.content, *terms.beside])
    if not found and (rare := _rare(terms.content, weights)):
        found = _matching(connection, " OR ".join(map(_quoted, rare)), max(limit, CANDIDATES), only)
    scored = filter(None, (_scored(hit, terms, weights, coverage) for hit in found))
    return sorted(scored, key=lambda hit: (-hit.score, hit.file_id, hit.position))[:limit]


def _rare(terms: Sequence[str], weights: Weights) -> list[str]:
    found = [term for term in terms if weights.found[term]]
    if weights.passages < COMMON_FROM:
        return found
    return [term for term in found if weights.found[term] <= weights.passages * COMMON] or found


def _scored(hit: Hit, terms: Asked, weights: Weights, coverage: float) -> Hit | None:
    """None if the passage contains too little of the query."""
    wanted = {*terms.content, *terms.beside}
    (text, length), (head, _) = counted(hit.text, wanted), counted(f"{hit.title} {hit.filename}", wanted)
    held = {term: text[term] + TITLE_WEIGHT * head[term] for term in wanted}
    whole = _sum(weights, terms.content)
    if _sum(weights, (term for term in terms.content if held[term])) < coverage * whole:
        return None
    longer = 1 - LENGTH_MATTERS + LENGTH_MATTERS * length / USUAL_TERMS

    def telling(wanted: Sequence[str]) -> float:
        return sum(weights.of(term) * held[term] / (held[term] + SATURATION * longer) for term in wanted)

    beside = BESIDE * _sum(weights, terms.beside)
    return replace(hit, score=(telling(terms.content) + BESIDE * telling(terms.beside)) / (whole + beside))


def _sum(weights: Weights, terms: Iterable[str]) -> float:
    return sum(weights.of(term) for term in terms)


def _matching(connection: apsw.Connection, match: str, limit: int, only: Only) -> list[Hit]:
    sql = MATCHING.replace("AND true", AND_IN_FILES) if only is not None else MATCHING
    found = rows(connection, sql, (match, f"bm25({TITLE_WEIGHT}, 1.0)", *in_files(only), limit))
    return [Hit(*row) for row in found]


def _quoted(term: str) -> str:
    """A term is only letters and digits, but it is quoted so that FTS5 never reads it as an operator."""
    return '"' + term.replace('"', "") + '"'
