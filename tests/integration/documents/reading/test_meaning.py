"""Vector search beside word search: stored, charged once, merged; also without the model or a quota."""

import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from sluice.domain.documents.keys import EMBEDDING_STATE
from sluice.domain.errors import ContextLengthExceeded, ModelUnavailable, SluiceError
from sluice.domain.gateway.admission import Grant, Limits
from sluice.domain.periods import period_of
from sluice.ports.documents import SearchRequest
from sluice.ports.gateway import UpstreamCall
from sluice.services.documents.embed import Embed
from sluice.services.documents.embedding_server import EmbeddingServer
from sluice.services.documents.renewal import Renewal
from sluice.services.documents.search import SearchDocuments
from sluice.services.documents.sweep import MOST_TRIES, STUCK_MS
from tests.fakes.hot_store import FakeHotStore
from tests.integration.documents.reading.place import ADA, Place, now_ms
from tests.integration.documents.reading.test_ingestion import at_hour_of

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
        self.counted: list[list[str]] = []
        self.fails: SluiceError | None = None
        self.row: dict[str, Any] = {"id": "toy", "capabilities": ["embeddings"], "context_window": 4096}
        self.use_version("1")

    def use_version(self, version: str, turned: int = 0) -> None:
        self.version, self._turned = version, turned
        self.row["embedding"] = {"version": version, "floor": 0.5, "unrelated": 0.2}

    def models(self) -> list[dict[str, Any]]:
        return [{"id": "chatter", "capabilities": ["chat"]}, self.row]

    def fetch(self, call: UpstreamCall) -> dict[str, Any]:
        if self.fails:
            raise self.fails
        if call.path == "/tokenize":
            texts = list(call.body["texts"])
            self.counted.append(texts)
            return {"counts": [len(text.encode()) // 2 for text in texts]}
        texts = list(call.body["input"])
        self.asked.append(texts)
        vectors = [toy(text) for text in texts]
        vectors = [vector[self._turned :] + vector[: self._turned] for vector in vectors]
        data = [{"index": number, "embedding": vector} for number, vector in enumerate(vectors)]
        usage = {"prompt_tokens": sum(map(len, texts)), "prompt_tokens_details": {"cached_tokens": 1}}
        return {"data": data[::-1], "usage": usage, "version": self.version}


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
        self.server = EmbeddingServer(self.model, self.model.models, "auto", now_ms)  # type: ignore[arg-type]
        self.embed = Embed(self.server, place.blobs, self.hot, Quota(self.hot), now_ms)  # type: ignore[arg-type]
        self.place = replace(place, ingestion=replace(place.ingestion, embed=self.embed))

    def find(self, store: str, query: str, **more: bool) -> list[str]:
        search = SearchDocuments(self.place.store_rows, self.place.indexes, self.embed)
        return [hit.filename for hit in search.search(SearchRequest(ADA, [store], query, 5, **more))]

    @property
    def renewal(self) -> Renewal:
        return Renewal(self.place.ingestion)

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


def test_two_that_embed_the_same_in_the_same_millisecond_are_charged_once(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    moment = now_ms()
    ingestion = replace(hybrid.place.ingestion, embed=replace(hybrid.embed, clock_ms=lambda: moment))
    (attachment,) = hybrid.place.store_rows.attachments(ADA, store)
    both, fetch = threading.Barrier(2), hybrid.model.fetch

    def together(call: UpstreamCall) -> dict[str, Any]:
        if call.path != "/tokenize":
            both.wait(60)
        return fetch(call)

    hybrid.model.fetch = together  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(ingestion._index, [attachment, attachment]))
    assert len(hybrid.hot.ledger) == 1
    assert hybrid.hot.grants[ADA].period_tokens == hybrid.spent() > 0


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


def test_a_file_without_vectors_gets_them_when_its_index_is_compared_and_the_quota_is_there_again(
    hybrid: Hybrid,
) -> None:
    grant = hybrid.hot.grants[ADA]
    hybrid.hot.grants[ADA] = replace(grant, period_tokens=grant.limits.monthly_tokens)
    store = hybrid.place.store()
    hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.place.settle()
    assert hybrid.place.sweeper.sweep(at_hour_of(store)).mended == 0, "it would get none"
    hybrid.hot.grants[ADA] = grant
    assert hybrid.place.sweeper.sweep(at_hour_of(store)).mended == 1
    assert hybrid.find(store, "automobile is in the garage somewhere") == ["garage.txt"]
    assert hybrid.place.sweeper.sweep(at_hour_of(store)).mended == 0


def test_while_the_model_is_unavailable_words_are_searched_and_vectors_are_added_later(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    file = hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.model.fails = ModelUnavailable()
    with pytest.raises(ModelUnavailable):
        hybrid.place.ingestion.changed(ADA, store, file.file_id)
    assert hybrid.find(store, "my car") == ["garage.txt"]
    hybrid.model.fails = None
    hybrid.place.ingestion.changed(ADA, store, file.file_id)
    assert hybrid.find(store, "automobile is in the garage somewhere") == ["garage.txt"]


def never() -> bool:
    return False


def test_a_text_that_the_model_refuses_fails_at_once_and_says_why(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    file = hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.model.fails = ContextLengthExceeded("The input has 600 tokens, more than 512.")
    hybrid.place.settle()
    attachment = hybrid.place.attachment(store, file)
    assert attachment is not None and attachment.status == "failed"
    assert attachment.error == "The embedding model refuses its text: The input has 600 tokens, more than 512."


def test_an_outage_without_end_ends_in_a_file_that_is_found_by_words(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    file = hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.model.fails = ModelUnavailable()
    with pytest.raises(ModelUnavailable):
        hybrid.place.ingestion.changed(ADA, store, file.file_id)
    later = now_ms()
    for _ in range(MOST_TRIES):
        later += STUCK_MS + 1
        hybrid.place.sweeper.sweep(later)
    attachment = hybrid.place.attachment(store, file)
    assert attachment is not None and (attachment.status, attachment.error) == ("completed", None)
    assert hybrid.find(store, "my car") == ["garage.txt"]
    hybrid.model.fails = None
    assert hybrid.renewal.go_on(never, look=True) == 1
    assert hybrid.find(store, "automobile is in the garage somewhere") == ["garage.txt"]


def test_another_model_of_equal_width_is_not_compared_and_gets_its_own_vectors(
    hybrid: Hybrid, caplog: pytest.LogCaptureFixture
) -> None:
    stores = [hybrid.place.store() for _ in range(3)]
    for store in stores:
        hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.place.settle()
    assert hybrid.renewal.go_on(never, look=True) == 0
    hybrid.model.use_version("2", turned=7)
    meaning = "automobile is in the garage somewhere strange"
    assert hybrid.find(stores[0], meaning) == [], "never with vectors of two models"
    assert hybrid.find(stores[0], "my car") == ["garage.txt"], "by words meanwhile"
    stops = iter([False, True])
    assert hybrid.renewal.go_on(lambda: next(stops), look=True) == 1, "killed after the first"
    assert hybrid.renewal.go_on(never, look=True) == 2, "and continued by another process"
    assert [hybrid.find(store, meaning) for store in stores] == [["garage.txt"]] * 3
    said = [record.getMessage() for record in caplog.records]
    assert sum("the embedding model is now toy@2" in text for text in said) == 3
    asked = len(hybrid.model.asked)
    assert hybrid.renewal.go_on(never, look=True) == 0 and len(hybrid.model.asked) == asked


def test_an_outage_in_the_middle_of_a_change_is_gone_on_with_later(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.place.settle()
    hybrid.model.use_version("2", turned=7)
    hybrid.model.fails = ModelUnavailable()
    renewal = hybrid.renewal
    assert renewal.go_on(never, look=True) == 0
    assert hybrid.find(store, "my car") == ["garage.txt"]
    hybrid.model.fails = None
    assert renewal.go_on(never, look=False) == 1


def test_a_model_that_changes_between_two_calls_gives_no_vectors(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    file = hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.model.version = "2"  # the list of models, which is remembered for seconds, says 1
    with pytest.raises(ModelUnavailable):
        hybrid.place.ingestion.changed(ADA, store, file.file_id)
    assert hybrid.find(store, "my car") == ["garage.txt"]


@pytest.mark.parametrize("kept", [b"", b"garbage", b"[1]", b'{"model": 1}'])
def test_a_damaged_note_of_the_progress_makes_all_indexes_looked_at(hybrid: Hybrid, kept: bytes) -> None:
    store = hybrid.place.store()
    hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.place.settle()
    hybrid.model.use_version("2", turned=7)
    hybrid.place.blobs.put(EMBEDDING_STATE, kept)
    assert hybrid.renewal.go_on(never, look=True) == 1


def test_auto_takes_only_a_model_that_says_it_makes_embeddings(hybrid: Hybrid) -> None:
    def current(wanted: str, *rows: dict[str, Any]) -> str | None:
        server = EmbeddingServer(hybrid.model, lambda: rows, wanted, now_ms)  # type: ignore[arg-type]
        return model.id if (model := server.current()) else None

    theirs, chat = {"id": "theirs"}, {"id": "chatter", "capabilities": ["chat"]}
    assert current("auto", theirs, chat) is None, "another server's list says nothing"
    assert current("auto", chat, hybrid.model.row) == "toy@1"
    assert current("theirs", theirs) == "theirs"
    for wanted in ("chatter", "nothing"):
        with pytest.raises(ModelUnavailable, match="SLUICE_EMBEDDING_MODEL"):
            current(wanted, theirs, chat)


def test_what_was_cached_is_counted_in_the_ledger(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.place.settle()
    assert [record.cached_tokens for record in hybrid.hot.ledger.values()] == [1]


def test_a_document_is_cut_by_the_models_tokens_with_few_calls(hybrid: Hybrid) -> None:
    hybrid.model.row["context_window"] = 128
    store = hybrid.place.store()
    dense = b"0123456789abcdef" * 400 + b". Short. " + "Привет, мир. ".encode() * 200
    hybrid.place.put(store, "dense.txt", dense)
    hybrid.place.settle()
    sent = [text for texts in hybrid.model.asked for text in texts]
    assert len(sent) > 60 and max(len(text.encode()) // 2 for text in sent) <= 128
    assert len(hybrid.model.counted) <= 5, "not one for each sentence"


def test_headings_that_leave_no_room_are_not_embedded(hybrid: Hybrid) -> None:
    hybrid.model.row["context_window"] = 128
    store = hybrid.place.store()
    hybrid.place.put(store, "deep.md", b"# " + b"x" * 190 + b"\n## " + b"y" * 190 + b"\nA short sentence.")
    hybrid.place.settle()
    assert hybrid.model.asked == [["A short sentence."]]


def test_strict_answers_only_what_stands_out(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    for number in range(4):
        hybrid.place.put(store, f"copper{number}.txt", b"Copper conducts the heat of room %d." % number)
    hybrid.place.settle()
    assert hybrid.find(store, "Zzz automobile is in the garage qqq", strict=True) == ["garage.txt"]
    vague = "zzz conducts heat somewhere, room qqq of xxx"
    assert hybrid.find(store, vague) != [] and hybrid.find(store, vague, strict=True) != [], "copies do not compete"


def test_deleting_a_file_deletes_its_vectors(hybrid: Hybrid) -> None:
    store = hybrid.place.store()
    file = hybrid.place.put(store, "garage.txt", b"My car is in the garage.")
    hybrid.place.settle()
    assert list(hybrid.place.blobs.keys(f"vectors/{ADA}/"))
    hybrid.place.files.delete(ADA, file.file_id)
    hybrid.place.ingestion.uploaded(ADA, file.file_id)
    assert list(hybrid.place.blobs.keys(f"vectors/{ADA}/")) == []
