"""A search in an account's vector stores. Passages from an index are returned only after a check against the tables.

So a detached or deleted file is not found any more, even if its index still holds passages.
"""

import time
from dataclasses import dataclass, replace

from sluice.domain.documents.document import Passage
from sluice.domain.documents.nearness import Asked
from sluice.domain.documents.uploads import STORE, is_id
from sluice.domain.errors import SearchUnavailable
from sluice.ports.documents import Indexes, PassageQuery, SearchRequest, VectorStoreStore
from sluice.services.documents.embed import Embed

MOST_PASSAGES = 50
MORE_THAN_ASKED = 2  # because some hits may belong to detached files
LONGEST_QUERY = 4_096
BEGIN_SECONDS = 10.0
"""After it no further query of a request is begun, and no further store is searched."""


@dataclass(frozen=True)
class SearchDocuments:
    """`sluice.ports.documents.Search`. Errors: SearchUnavailable, StoreUnavailable."""

    stores: VectorStoreStore
    indexes: Indexes
    embed: Embed | None = None

    def search(self, request: SearchRequest) -> list[Passage]:
        limit = min(max(request.top_k, 1), MOST_PASSAGES)
        query, found = request.query[:LONGEST_QUERY], list[Passage]()
        stores = [store_id for store_id in dict.fromkeys(request.store_ids) if is_id(STORE, store_id)]
        near = self.embed.question(request.account_id, query) if self.embed and stores and query.strip() else None
        until = time.monotonic() + BEGIN_SECONDS
        for store_id in stores:
            if time.monotonic() > until:
                raise SearchUnavailable()
            found += self._in_store(replace(request, query=query, top_k=limit), store_id, near)
        found.sort(key=lambda passage: -passage.score)
        return _without_doubles(found)[:limit]

    def _in_store(self, request: SearchRequest, store_id: str, near: Asked | None) -> list[Passage]:
        most, how = request.top_k * MORE_THAN_ASKED, (request.floored, request.strict, request.file_ids)
        query = PassageQuery(request.query, most, near, *how)
        hits = self.indexes.find(request.account_id, store_id, query)
        there = self.stores.attached(request.account_id, store_id, [hit.file_id for hit in hits])
        return [replace(hit, attributes=there[hit.file_id].attributes) for hit in hits if hit.file_id in there]


def _without_doubles(passages: list[Passage]) -> list[Passage]:
    """Each passage once, because one file may be in several of the stores."""
    once: dict[tuple[str, int], Passage] = {}
    for passage in passages:
        once.setdefault((passage.file_id, passage.position), passage)
    return list(once.values())
