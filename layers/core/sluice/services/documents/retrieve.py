"""Search an account's own documents. Passages from the index are returned only after a check against the tables."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, zip_longest

from sluice.domain.documents.attribute_filters import matches
from sluice.domain.documents.document import Attachment, Passage
from sluice.domain.documents.retrieval import SearchOptions
from sluice.domain.documents.uploads import STORE, is_id
from sluice.domain.errors import NotFound, SearchUnavailable
from sluice.ports.documents import Search, SearchRequest, VectorStoreStore
from sluice.services.documents.search import BEGIN_SECONDS

MOST_FOUND = 50


@dataclass(frozen=True)
class Retrieval:
    stores: VectorStoreStore
    search: Search

    def check(self, account_id: str, store_ids: Sequence[str], now_ms: int) -> None:
        """A search follows, so they are in use now. Errors: NotFound (an unknown or expired vector store, or another
        account's), StoreUnavailable."""
        for store_id in store_ids:
            store = self.stores.get(account_id, store_id) if is_id(STORE, store_id) else None
            if store is None or store.expired(now_ms):
                raise NotFound(f"There is no vector store {store_id[:64]!r}{', it has expired' if store else ''}.")
            if store.use_counts(now_ms):
                self.stores.used(account_id, store_id, now_ms)

    def find(self, account_id: str, queries: Sequence[str], options: SearchOptions) -> list[Passage]:
        """Best first. Several queries take turns, each with its next best passage, and each passage is returned once.

        Another process writes the index after the tables, so the index may be late. A passage counts only while its
        file is attached to one of the stores searched, and attachments are read by the account's key. So a deleted or
        detached file is not found any more, and another account's passage never passes, even if the index returns one.
        Errors: SearchUnavailable, StoreUnavailable."""
        until = time.monotonic() + BEGIN_SECONDS
        ranked = zip_longest(*(self._one(account_id, query, options, until) for query in queries))
        once: dict[tuple[str, int], Passage] = {}
        for passage in (passage for rank in ranked for passage in rank if passage is not None):
            once.setdefault((passage.file_id, passage.position), passage)
        best = list(once.values())[: options.top_k]
        return [one for one in best if options.threshold is None or one.score >= options.threshold]

    def _one(self, account_id: str, query: str, options: SearchOptions, until: float) -> list[Passage]:
        if time.monotonic() > until:
            raise SearchUnavailable()
        if not query.strip() or not options.store_ids:
            return []
        limit = MOST_FOUND if options.filters else options.top_k
        store_ids = tuple(dict.fromkeys(options.store_ids))
        how = (options.floored, options.strict, options.file_ids)
        found = self.search.search(SearchRequest(account_id, store_ids, query, limit, *how))
        attached = self._attached(account_id, store_ids, found)
        kept = [
            replace(passage, attributes=attached[place].attributes)
            for passage in found
            if (place := (passage.store_id, passage.file_id)) in attached
            and matches(attached[place].attributes, options.filters)
            and (options.file_ids is None or passage.file_id in options.file_ids)
        ]
        return kept[: options.top_k]

    def _attached(
        self, account_id: str, store_ids: Sequence[str], found: Iterable[Passage]
    ) -> dict[tuple[str, str], Attachment]:
        places = sorted({(one.store_id, one.file_id) for one in found if one.store_id in store_ids})
        attached: dict[tuple[str, str], Attachment] = {}
        for store_id, group in groupby(places, key=lambda place: place[0]):
            file_ids = [file_id for _, file_id in group]
            found_now = self.stores.attached(account_id, store_id, file_ids)
            attached |= {(store_id, file_id): attachment for file_id, attachment in found_now.items()}
        return attached
