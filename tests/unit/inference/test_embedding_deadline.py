"""A request for vectors that runs out of time keeps those that it has, so that it needs less when it is repeated."""

import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from functions.inference.engine.queueing import FairQueue
from functions.inference.errors import DeadlineExceeded
from functions.inference.llama.embedder import Embedder, Keep, Vector, _Work
from functions.inference.models.vector_cache import VectorCache
from functions.inference.web.embedding_view import _vectors

INPUTS = [(1, 2), (3, 4), (5, 6)]


def vector(tokens: Sequence[int]) -> Vector:
    return np.array(tokens, dtype=np.float32)


def test_each_vector_is_told_before_the_next_is_computed() -> None:
    kept: list[Sequence[int]] = []
    work = _Work("ada", INPUTS, lambda tokens, _: kept.append(tokens))

    class Late(Embedder):
        def __init__(self) -> None:
            self.context_tokens = 2  # an input a call

        def _embed_group(self, group: Sequence[Sequence[int]]) -> list[Vector]:
            if group == [INPUTS[1]]:
                work.given_up.set()
            return [vector(tokens) for tokens in group]

    with pytest.raises(DeadlineExceeded):
        Late()._embed(work)
    assert kept == INPUTS[:2]


def test_what_a_late_request_has_computed_is_there_for_the_next() -> None:
    asked: list[Sequence[Sequence[int]]] = []

    def embed(
        inputs: Sequence[Sequence[int]], timeout_s: float, account: str, keep: Keep, *, low: bool
    ) -> list[Vector]:
        asked.append(inputs)
        for tokens in inputs[:2]:
            keep(tokens, vector(tokens))
        if len(inputs) > 2:
            raise DeadlineExceeded("too late")
        return [vector(tokens) for tokens in inputs]

    model: Any = SimpleNamespace(cache=VectorCache(10_000), embedder=SimpleNamespace(embed=embed))
    with pytest.raises(DeadlineExceeded):
        _vectors(model, INPUTS, time.monotonic() + 60, "ada", low=False)
    vectors, cached = _vectors(model, INPUTS, time.monotonic() + 60, "ada", low=False)
    assert asked == [INPUTS, INPUTS[2:]] and cached == 4
    assert [list(one) for one in vectors] == [list(tokens) for tokens in INPUTS]


def test_a_request_waits_for_one_call_of_a_row_and_not_for_all_of_it() -> None:
    done: list[Sequence[int]] = []

    class Busy(Embedder):
        def __init__(self) -> None:
            self.context_tokens, self._lock = 2, threading.Lock()
            self._queue = FairQueue[_Work](8)

        def _embed_group(self, group: Sequence[Sequence[int]]) -> list[Vector]:
            done.extend(group)
            if group == [INPUTS[0]]:
                self._queue.offer(_Work("bob", [(7, 8)], lambda tokens, vector: None))
            return [vector(tokens) for tokens in group]

    Busy()._embed(_Work("ada", INPUTS, lambda tokens, vector: None, low=True))
    assert done == [INPUTS[0], (7, 8), *INPUTS[1:]]
