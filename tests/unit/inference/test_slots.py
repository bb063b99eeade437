from functions.inference.engine.slots import Slot, place, shared_prefix
from tests.unit.inference.fake_backend import job, tokens

LONG = "a long system prompt that many requests share"


def slot(seq: int, cache: str = "", busy: bool = False, last_used: int = 0) -> Slot:
    return Slot(seq, list(tokens(cache)), job=job("x") if busy else None, last_used=last_used)


def test_shared_prefix_counts_leading_tokens() -> None:
    assert shared_prefix([1, 2, 3], [1, 2, 4]) == 2
    assert shared_prefix([], [1]) == 0


def test_without_a_free_slot_there_is_no_place() -> None:
    assert place([slot(0, busy=True)], tokens("x")) is None


def test_a_prompt_returns_to_the_slot_that_knows_it() -> None:
    placed = place([slot(0), slot(1, LONG), slot(2, "something else")], tokens(LONG + " and more"))
    assert placed is not None
    assert (placed.slot.seq, placed.donor.seq, placed.keep_tokens) == (1, 1, len(LONG))


def test_a_busy_slots_prefix_is_copied() -> None:
    placed = place([slot(0, LONG, busy=True), slot(1)], tokens(LONG + " two"))
    assert placed is not None
    assert (placed.slot.seq, placed.donor.seq, placed.keep_tokens) == (1, 0, len(LONG))


def test_at_least_one_token_is_left_to_decode() -> None:
    placed = place([slot(0, LONG)], tokens(LONG))
    assert placed is not None
    assert placed.keep_tokens == len(LONG) - 1


def test_an_unrelated_prompt_takes_an_empty_slot_and_keeps_the_caches() -> None:
    placed = place([slot(0, LONG, last_used=1), slot(1)], tokens("unrelated"))
    assert placed is not None
    assert (placed.slot.seq, placed.keep_tokens) == (1, 0)


def test_the_least_recently_used_cache_is_dropped_first() -> None:
    slots = [slot(0, "first prompt", last_used=5), slot(1, "second prompt", last_used=2), slot(2, "third", last_used=9)]
    placed = place(slots, tokens("zzz"))
    assert placed is not None
    assert placed.slot.seq == 1


def test_without_reuse_no_cached_token_is_kept() -> None:
    placed = place([slot(0, LONG)], tokens(LONG), reuse=False)
    assert placed is not None
    assert placed.keep_tokens == 0
