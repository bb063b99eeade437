"""Searching an account's own documents. What a search finds is held to the tables before anybody sees it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from sluice.domain.documents.attribute_filters import matches
from sluice.domain.documents.document import Attachment, Passage
from sluice.domain.documents.uploads import STORE, is_id
from sluice.domain.errors import NotFound
from sluice.ports.documents import Search, SearchRequest, VectorStoreStore

MOST_FOUND = 50


@dataclass(frozen=True)
class Retrieval:
    stores: VectorStoreStore
    search: Search

    def check(self, account_id: str, store_ids: Sequence[str]) -> None:
        """Errors: NotFound, for another account's as for one that never was; StoreUnavailable."""
        for store_id in store_ids:
            if not is_id(STORE, store_id) or self.stores.get(account_id, store_id) is None:
                raise NotFound(f"There is no vector store {store_id[:64]!r}.")

    def find(
        self, account_id: str, store_ids: Sequence[str], query: str, top_k: int, wanted: Mapping[str, Any] | None = None
    ) -> list[Passage]:
        """Best first. `wanted`: only of files whose attributes match.

        The index is written after the tables and by another process, so it may be late. A passage counts only while its
        file is in one of the stores asked for, and these are read by the account's own key: what is deleted or detached
        is gone from the next search on, and a passage of another account could not pass even if the index gave it.
        Errors: SearchUnavailable, StoreUnavailable."""
        if not query.strip() or not store_ids:
            return []
        asked = MOST_FOUND if wanted else top_k
        found = self.search.search(SearchRequest(account_id, tuple(dict.fromkeys(store_ids)), query, asked))
        there = self._attached(account_id, store_ids, found)
        kept = [
            replace(passage, attributes=there[place].attributes)
            for passage in found
            if (place := (passage.store_id, passage.file_id)) in there and matches(there[place].attributes, wanted)
        ]
        return kept[:top_k]

    def _attached(
        self, account_id: str, store_ids: Sequence[str], found: Iterable[Passage]
    ) -> dict[tuple[str, str], Attachment]:
        places = sorted({(one.store_id, one.file_id) for one in found if one.store_id in store_ids})
        there: dict[tuple[str, str], Attachment] = {}
        for store_id, group in groupby(places, key=lambda place: place[0]):
            file_ids = [file_id for _, file_id in group]
            attached = self.stores.attached(account_id, store_id, file_ids)
            there |= {(store_id, file_id): attachment for file_id, attachment in attached.items()}
        return there
