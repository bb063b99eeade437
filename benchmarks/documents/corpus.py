"""Generated text with the word frequencies of real text (Zipf's law), the same for the same number."""

import random
from itertools import accumulate

WORDS = 30_000
A_PASSAGE = 240
"""Words of a passage, about 320 tokens."""
SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]


class Corpus:
    def __init__(self, seed: int = 1) -> None:
        dice = random.Random(seed)
        self._words = ["".join(dice.choices(SYLLABLES, k=dice.randint(2, 5))) for _ in range(WORDS)]
        self._weights = list(accumulate(1 / (rank + 2.7) for rank in range(WORDS)))
        self._dice = dice

    def passage(self) -> str:
        words = self._dice.choices(self._words, cum_weights=self._weights, k=A_PASSAGE)
        return " ".join(f"{word}." if place % 12 == 11 else word for place, word in enumerate(words))

    def question(self, passage: str, strangers: int) -> str:
        """A question: three words of a passage, mostly rare ones, and as many random words."""
        known = sorted(set(passage.replace(".", "").split()), key=self._rank.__getitem__)
        wanted = self._dice.sample(known[len(known) // 2 :], 3)
        return "What of " + " ".join([*wanted, *self._dice.sample(self._words, strangers)]) + "?"

    @property
    def _rank(self) -> dict[str, int]:
        if not hasattr(self, "_ranks"):
            self._ranks = {word: rank for rank, word in reversed(list(enumerate(self._words)))}
        return self._ranks
