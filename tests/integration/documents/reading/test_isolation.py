"""No search shows another account's text, whatever the query; and deleting an account erases its documents."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.domain.documents.document import Passage
from sluice.ports.documents import PassageQuery, SearchRequest
from sluice.services.documents.erase import EraseDocuments
from sluice.services.documents.search import SearchDocuments
from tests.integration.documents.reading.place import ADA, BOB, Place
from tests.rounds import rounds

WORDS = ["harbour", "ledger", "orchid", "copper", "灯台", "有給休暇", "パスワード", "年假", "Straße", "naïve", "42"]
HOSTILE = [
    '"', "'", "*", "^", "(", ")", ":", "-", "+", "NEAR(", " OR ", " AND ", " NOT ", "title:", "{a b}:", "%", "_",
    "\x00", "; DROP TABLE chunks; --", "../", "﻿", "\u202e", "𠮷", "ー", "rowid", "SELECT text FROM chunks",
]  # fmt: skip
queries = st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(HOSTILE), st.text(max_size=8)), max_size=10)


def _filled(place: Place) -> tuple[str, str]:
    stores = {ADA: place.store(ADA), BOB: place.store(BOB)}
    for account_id, store in stores.items():
        place.put(store, f"of {account_id}.md", f"# {account_id}\n{' '.join(WORDS)}".encode(), account_id)
    place.settle()
    return stores[ADA], stores[BOB]


def test_no_query_finds_another_accounts_passages(place: Place) -> None:
    ours, theirs = _filled(place)
    search = SearchDocuments(place.store_rows, place.indexes)

    @settings(max_examples=rounds(300, 60), deadline=None, suppress_health_check=list(HealthCheck))
    @given(queries, st.integers(-5, 1000))
    def ask(parts: list[str], top_k: int) -> None:
        found = search.search(SearchRequest(ADA, [ours, theirs, ours], " ".join(parts), top_k))
        assert {passage.store_id for passage in found} <= {ours}
        assert not [passage for passage in found if BOB in passage.text or BOB in passage.filename]
        assert all(0 <= passage.score <= 1 for passage in found)

    ask()
    assert search.search(SearchRequest(ADA, [ours], "harbour", 5)), "a search that finds nothing at all proves nothing"
    assert search.search(SearchRequest(ADA, [theirs], "harbour", 5)) == []


NAMES = ["vs_../../x", "../usr_0000000000000b0b/vs_1", "", "vs_", "vs_%", "*", "..", "/etc/passwd", "vs_1\x00", "VS_1"]


@pytest.mark.parametrize("store_id", NAMES)
def test_an_invalid_store_id_is_not_searched(place: Place, store_id: str) -> None:
    asked: list[str] = []

    class Watched:
        def find(self, account_id: str, store_id: str, query: PassageQuery) -> list[Passage]:
            asked.append(store_id)
            return []

    search = SearchDocuments(place.store_rows, Watched())  # type: ignore[arg-type]
    assert search.search(SearchRequest(ADA, [store_id], "harbour", 5)) == []
    assert asked == []


def test_interleaved_changes_of_two_accounts_do_not_mix(place: Place) -> None:
    ours, theirs = _filled(place)
    dice = random.Random(5)
    for _ in range(20):
        account_id, store = dice.choice([(ADA, ours), (BOB, theirs)])
        file = place.put(store, f"of {account_id}.md", f"harbour of {account_id} {dice.random()}".encode(), account_id)
        place.settle()
        if dice.random() < 0.5:
            place.files.delete(account_id, file.file_id)
            place.settle()
        for owner, held in ((ADA, ours), (BOB, theirs)):
            assert all(owner in passage.text for passage in place.find(held, "harbour", 50, owner))


def test_deleting_an_account_erases_all_its_documents_and_no_others(place: Place) -> None:
    _ours, theirs = _filled(place)
    place.put(theirs, "late.md", b"harbour, not indexed yet", BOB)
    place.put(_ours, "late.md", b"harbour, not indexed yet", ADA)
    assert EraseDocuments(place.rows, place.blobs).erase_account(ADA, 1_000)
    place.settle()  # events that were still waiting
    assert EraseDocuments(place.rows, place.blobs).erase_account(ADA, 1_000)
    left = [path for path in place.blobs.root.rglob("*") if path.is_file() and ADA in str(path)]
    assert left == []
    assert (
        place.rows.page(ADA, limit=10, after_id=None) == []
        and place.store_rows.page(ADA, limit=10, after_id=None) == []
    )
    assert place.rows.held_bytes(ADA) == 0
    assert len(place.find(theirs, "harbour", 5, BOB)) == 2
