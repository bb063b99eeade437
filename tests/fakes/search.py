"""A search over the words of uploaded files, without an index or a ranking, that keeps the port's promises."""

from dataclasses import dataclass, field

from sluice.domain.documents import keys
from sluice.domain.documents.document import Passage
from sluice.domain.errors import SearchUnavailable
from sluice.ports.documents import Blobs, FileStore, SearchRequest, VectorStoreStore


@dataclass
class FakeSearch:
    """Each paragraph of each attached file is a passage. It matches if it contains a word of the query of four letters
    or more. `extra` is returned for every account, as a broken index might do."""

    files: FileStore
    stores: VectorStoreStore
    blobs: Blobs
    down: bool = False
    asked: list[SearchRequest] = field(default_factory=list)
    extra: list[Passage] = field(default_factory=list)

    def search(self, ask: SearchRequest) -> list[Passage]:
        self.asked.append(ask)
        if self.down:
            raise SearchUnavailable()
        words = {word.strip("?.,!").lower() for word in ask.query.split()}
        query_words = {word for word in words if len(word) >= 4}
        passages = [
            passage for store_id in ask.store_ids for passage in self._in(ask.account_id, store_id, query_words)
        ]
        if ask.file_ids is not None:
            passages = [passage for passage in passages if passage.file_id in ask.file_ids]
        return sorted([*passages, *self.extra], key=lambda passage: -passage.score)[: ask.top_k]

    def _in(self, account_id: str, store_id: str, query_words: set[str]) -> list[Passage]:
        passages = []
        for attachment in self.stores.attachments(account_id, store_id):
            file = self.files.get(account_id, attachment.file_id)
            body = self.blobs.get(keys.file_key(account_id, attachment.file_id)) or b""
            for position, text in enumerate(body.decode(errors="replace").split("\n\n")):
                score = float(sum(word in text.lower() for word in query_words))
                if file is not None and score:
                    passages.append(Passage(store_id, file.file_id, file.filename, position, text, score))
        return passages
