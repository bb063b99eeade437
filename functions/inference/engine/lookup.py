"""Guesses how a sequence goes on that repeats itself, as answers do that quote or correct their prompt (ADR 118)."""

from collections.abc import Sequence
from itertools import cycle, islice

MATCH_TOKENS = 12
"""So many must have occurred before in the same order. Of shorter matches more go on differently."""


class Lookup:
    """Of one sequence, which grows from call to call."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        """The place after the last occurrence of MATCH_TOKENS tokens, by their hash: a wrong guess is only slower."""
        self._seen = MATCH_TOKENS

    def guess(self, cache: Sequence[int], token: int, most_tokens: int) -> list[int]:
        """What followed the last MATCH_TOKENS tokens of `cache` and `token` when they occurred before: no token or
        `most_tokens`. Where that is near the end, the sequence repeats itself from there on."""
        for place in range(self._seen, len(cache)):
            self._next[hash(tuple(cache[place - MATCH_TOKENS : place]))] = place
        self._seen = max(self._seen, len(cache))
        if (found := self._next.get(hash((*cache[1 - MATCH_TOKENS :], token)))) is None:
            return []
        return list(islice(cycle([*cache[found : found + most_tokens], token]), most_tokens))
