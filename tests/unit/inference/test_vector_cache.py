"""The engine's cache of vectors: bounded, by account and content."""

import numpy as np

from functions.inference.models.vector_cache import ENTRY_BYTES, VectorCache

ROOM = 4 * 8 + ENTRY_BYTES


def vector(number: float) -> "np.ndarray":  # type: ignore[type-arg]
    return np.full(8, number, dtype=np.float32)


def test_a_vector_is_found_by_its_account_and_tokens_only() -> None:
    cache = VectorCache(10 * ROOM)
    cache.put("ada", [1, 2], vector(1))
    found = cache.get("ada", (1, 2))
    assert found is not None and found[0] == 1
    assert cache.get("bob", [1, 2]) is None, "or its speed would tell what another account has sent"
    assert cache.get("ada", [2, 1]) is None and cache.get("ada", [1]) is None


def test_the_least_recently_used_goes_first_and_the_size_is_bounded() -> None:
    cache = VectorCache(3 * ROOM)
    for number in range(3):
        cache.put("ada", [number], vector(number))
    cache.get("ada", [0])
    for _ in range(2):  # the second time it is there already
        cache.put("ada", [3], vector(3))
    assert [cache.get("ada", [number]) is not None for number in range(4)] == [True, False, True, True]


def test_a_cache_of_no_size_keeps_nothing() -> None:
    cache = VectorCache(0)
    cache.put("ada", [1], vector(1))
    assert cache.get("ada", [1]) is None
