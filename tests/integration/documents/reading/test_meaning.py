"""Vector search beside word search: stored, charged once, merged; also without the model or a quota."""

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sluice.adapters.documents.parsing import markdown
from sluice.adapters.documents.search.folder import FolderIndexes
from sluice.domain.documents.passages import Block, chunks_of
from sluice.domain.documents.vectors import packed
from sluice.domain.errors import ModelUnavailable
from sluice.domain.gateway.admission import Grant, Limits
from sluice.domain.periods import period_of
from sluice.ports.documents import PassageQuery, SearchRequest
from sluice.ports.gateway import UpstreamCall
from sluice.services.documents.embed import Embed
from sluice.services.documents.search import SearchDocuments
from tests.fakes.hot_store import FakeHotStore
from tests.integration.documents.reading.place import ADA, Place, now_ms

SET = Path(__file__).parents[3] / "data" / "documents"
SIZE = 256
SYNONYMS = {"automobile": "car", "physician": "doctor"}


def toy(text: str) -> list[float]:
    """An embedding without a model: a text's three-letter pieces, with two known synonyms."""
    for word, same in SYNONYMS.items():
        text = text.lower().replace(word, same)
    vector = [0.0] * SIZE
    for place in range(len(text) - 2):
        vector[zlib.crc32(text[place : place + 3].encode()) % SIZE] += 1
    return vector if any(vector) else [1.0] * SIZE


class ToyModel:
    """The engine's /v1/embeddings, counted."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.away = False

    def fetch(self, call: UpstreamCall) -> dict[str, Any]:
        if self.away:
            raise ModelUnavailable()
        texts = list(call.body["input"])
        self.asked.append(texts)
        data = [{"index": number, "embedding": toy(text)} for number, text in enumerate(texts)]
        return {"data": data[::-1], "usage": {"prompt_tokens": sum(map(len, texts))}}


class Quota:
    def __init__(self, hot: FakeHotStore) -> None:
        self._hot = hot

    def add_to_quota(self, account_id: str, period: int, tokens: int) -> None:
        grant = self._hot.grants[account_id]
        self._hot.grants[account_id] = replace(grant, period=period, period_tokens=grant.period_tokens + tokens)


class Hybrid:
    def __init__(self, place: Place) -> None:
        self.model, self.hot = ToyModel(), FakeHotStore()
        limits = Limits(60, 40_000, 4, 1_000_000)
        self.hot.grants[ADA] = Grant(ADA, {}, "good", limits, period=period_of(now_ms()))
        self.embed = Embed(self.model, "toy", place.blobs, self.hot, Quota(self.hot), now_ms)  # type: ignore[arg-type]
        self.place = replace(place, ingestion=replace(place.ingestion, embed=self.embed))

    def find(self, store: str, query: str) -> list[str]:
        search = SearchDocuments(self.place.store_rows, self.place.indexes, self.embed)
        return [hit.filename for hit in search.search(SearchRequest(ADA, [store], query, 5))]

    def spent(self) -> int:
        return sum(record.prompt_tokens for record in self.hot.ledger.values())


@pytest.fixture
def hybrid(place: Place) -> Hybrid:
    return Hybrid(place)


def test_vector_search_finds_what_word_search_does_not(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.place.put(store, "cake.txt", b"Beat the eggs until fluffy.")
    hybrid.place.settle()
    assert hybrid.place.find(store, "my automobile is in the garage somewhere strange") == []
    assert hybrid.find(store, "my automobile is in the garage somewhere strange") == ["garage.txt"]


def test_the_common_result_comes_first_and_distant_texts_are_left_out(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    hybrid.place.put(store, "doctor.txt", b"The doctor sees patients on Monday.")
    hybrid.place.put(store, "other.txt", b"Copper conducts heat.")
    hybrid.place.settle()
    assert hybrid.find(store, "When does the doctor see patients on Monday?") == ["doctor.txt"]
    assert hybrid.find(store, "zzz qqq xxx") == []


def test_passages_are_charged_once_and_questions_each_time(hybrid: Hybrid) -> None:
    stores = [hybrid.place.store(), hybrid.place.store()]
    file = hybrid.place.put(stores[0], "garage.txt", b"My car is in the garage.")
    hybrid.place.settle()
    after_one = hybrid.spent()
    assert after_one > 0 and hybrid.hot.grants[ADA].period_tokens == after_one
    hybrid.place.stores.attach(ADA, stores[1], file.file_id, {}, now_ms())
    hybrid.place.settle()
    assert hybrid.spent() == after_one, "kept by content"
    for number in (1, 2):
        assert hybrid.find(stores[1], "my car") == ["garage.txt"]
        assert len(hybrid.hot.ledger) == 1 + number
    assert {(record.endpoint, record.token_id) for record in hybrid.hot.ledger.values()} == {
        ("embeddings", "documents")
    }


def test_a_crash_between_the_charge_and_the_storing_charges_once(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.place.settle()
    spent = hybrid.spent()
    for key in list(hybrid.place.blobs.keys(f"vectors/{ADA}/")):
        hybrid.place.blobs.delete(key)
    (attachment,) = hybrid.place.store_rows.attachments(ADA, store)
    hybrid.place.ingestion._index(attachment)
    assert (hybrid.spent(), hybrid.hot.grants[ADA].period_tokens) == (spent, spent)


def test_without_quota_only_words_are_searched_and_nothing_is_charged(hybrid: Hybrid) -> None:
    grant = hybrid.hot.grants[ADA]
    hybrid.hot.grants[ADA] = replace(grant, period_tokens=grant.limits.monthly_tokens)
    store = hybrid.place.store()
    file = hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.place.settle()
    attachment = hybrid.place.attachment(store, file)
    assert attachment is not None and attachment.status == "completed"
    assert hybrid.find(store, "my car") == ["garage.txt"]
    assert hybrid.model.asked == [] and hybrid.spent() == 0


def test_while_the_model_is_unavailable_words_are_searched_and_vectors_are_added_later(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    file = hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.model.away = True
    with pytest.raises(ModelUnavailable):
        hybrid.place.ingestion.changed(ADA, store, file.file_id)
    assert hybrid.find(store, "my car") == ["garage.txt"]
    hybrid.model.away = False
    hybrid.place.ingestion.changed(ADA, store, file.file_id)
    assert hybrid.find(store, "automobile is in the garage somewhere") == ["garage.txt"]


def test_deleting_a_file_deletes_its_vectors(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    file = hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.place.settle()
    assert list(hybrid.place.blobs.keys(f"vectors/{ADA}/"))
    hybrid.place.files.delete(ADA, file.file_id)
    hybrid.place.ingestion.uploaded(ADA, file.file_id)
    assert list(hybrid.place.blobs.keys(f"vectors/{ADA}/")) == []


def test_adding_vector_search_loses_no_result_of_the_fixed_set(tmp_path: Path) -> None:
    """With the stand-in above: no real embedding model comes with the project, so this tests the merging, no model."""
    indexes = FolderIndexes(tmp_path, floor=0.5)
    for path in sorted((SET / "files").iterdir()):
        chunks = list(chunks_of([Block(*block) for block in markdown.read(path.read_bytes())]))
        vectors = [packed(toy(f"{one.title}\n{one.text}")) for one in chunks]
        indexes.replace(ADA, "vs_set", path.name, path.name, chunks, vectors)
    answered = [one for one in json.loads((SET / "questions.json").read_text()) if "file" in one]
    found = 0
    for one in answered:
        hits = indexes.find(ADA, "vs_set", PassageQuery(one["question"], 5, packed(toy(one["question"]))))
        found += any(hit.filename == one["file"] and one["answer"] in hit.text for hit in hits)
    print(f"recall@5 with the stand-in's vectors: {found / len(answered):.3f}")
    assert found >= 0.9 * len(answered)
