"""Builds each object of a process once, however many requests need it first at the same time.

`functools.cache` would build one for each of them, and some would go on with an object that no later request knows: its
counters, places and timers would be lost.
"""

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Generic, TypeVar

Built = TypeVar("Built")

_building = RLock()  # one for all, because building one object builds others


class Once(Generic[Built]):
    def __init__(self, build: Callable[[], Built]) -> None:
        wraps(build)(self)
        self._build = build
        self._built: list[Built] = []

    def __call__(self) -> Built:
        if not self._built:
            with _building:
                if not self._built:
                    self._built.append(self._build())
        return self._built[0]

    def cache_clear(self) -> None:
        """For tests."""
        self._built.clear()


def once(build: Callable[[], Built]) -> Once[Built]:
    return Once(build)
