"""A hit of one index as a passage."""

from sluice.adapters.search.reading import Hit
from sluice.domain.documents import Passage


def passage(store_id: str, hit: Hit) -> Passage:
    """The headings above it stand in its first line: without them many a passage cannot be understood."""
    text = f"{hit.title}\n{hit.text}" if hit.title else hit.text
    return Passage(store_id, hit.file_id, hit.filename, hit.position, text, round(hit.score, 6))
