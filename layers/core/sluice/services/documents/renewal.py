"""New vectors for all documents after a change of the embedding model: in the background, one store after another.

Until its turn a document is found by words: vectors of two models are never compared. A kill or an outage loses
nothing, because how far it came is stored; two runs at once do the same work twice.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sluice.domain.documents import keys
from sluice.domain.errors import ModelUnavailable, Overloaded, SluiceError
from sluice.services.documents.ingest import Ingestion

log = logging.getLogger("sluice.ingestion")


@dataclass(frozen=True)
class Progress:
    """`after`: the key of the last index that is done; None: all are."""

    model: str
    after: str | None


@dataclass
class Renewal:
    ingestion: Ingestion
    _due: bool = True  # at the process's first sweep, because a change of the setting comes with a new process

    def go_on(self, stop: Callable[[], bool], *, look: bool) -> int:
        """Go on with a change that was seen. `look`: whether to ask the model server if there is one. → how many files
        were given new vectors. Errors: StoreUnavailable."""
        if self.ingestion.embed is None or not (look or self._due):
            return 0
        try:
            model = self.ingestion.embed.server.current()
        except ModelUnavailable:
            return 0  # the next sweep asks again
        if model is None:
            return 0
        known = self._progress()
        if known != Progress(model.id, None):
            return self._renew(known if known and known.model == model.id else Progress(model.id, ""), stop)
        self._due = False
        return 0

    def _renew(self, progress: Progress, stop: Callable[[], bool]) -> int:
        self._due, renewed = True, 0
        for key in sorted(self.ingestion.blobs.keys(f"{keys.INDEX}/")):
            store = keys.store_of_index(key)
            if store is None or key <= (progress.after or ""):
                continue
            try:
                renewed += self._store(*store, progress.model, stop)
            except (ModelUnavailable, Overloaded):
                log.warning("new vectors of %s wait for the model server", progress.model)
                return renewed
            if stop():
                return renewed
            self._keep(Progress(progress.model, key))
        self._keep(Progress(progress.model, None))
        self._due = False
        log.info("all vector stores have vectors of %s", progress.model)
        return renewed

    def _store(self, account_id: str, store_id: str, model: str, stop: Callable[[], bool]) -> int:
        renewed = 0
        if self.ingestion.stores.get(account_id, store_id) is None:
            return 0
        for file_id in sorted(stale := self.ingestion.stale(account_id, store_id)):
            if stop():
                break
            if not renewed:
                log.warning(
                    "the embedding model is now %s: until they have new vectors, documents are found by words",
                    model, extra={"store_id": store_id, "files": len(stale)},
                )  # fmt: skip
            try:
                self.ingestion.bring_in_line(account_id, store_id, file_id, again=True)
                renewed += 1
            except (ModelUnavailable, Overloaded):
                raise
            except SluiceError:  # it keeps its words, and is tried again when its index is compared with its rows
                log.warning("no new vectors", extra={"store_id": store_id, "file_id": file_id}, exc_info=True)
        return renewed

    def _progress(self) -> Progress | None:
        """None if nothing readable is kept: then all indexes are looked at."""
        try:
            return Progress(**json.loads(self.ingestion.blobs.get(keys.EMBEDDING_STATE) or b"null"))
        except (TypeError, ValueError):
            return None

    def _keep(self, progress: Progress) -> None:
        body = {"model": progress.model, "after": progress.after}
        self.ingestion.blobs.put(keys.EMBEDDING_STATE, json.dumps(body).encode())
