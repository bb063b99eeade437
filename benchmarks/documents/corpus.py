"""Generated text with the word frequencies of real text (Zipf's law), the same for the same number."""

import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import accumulate

WORDS = 30_000
QUESTIONS = 200
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

    @cached_property
    def _rank(self) -> dict[str, int]:
        return {word: rank for rank, word in reversed(list(enumerate(self._words)))}


def search(corpus: Corpus, passages: Sequence[str], find: Callable[[str], Iterable[str]]) -> None:
    """Print how fast and how well `find` (question to texts) finds passages by a few of their words."""
    for name, strangers in (("all words known (AND)", 0), ("one word of four from elsewhere (OR)", 1)):
        times, spent, found = [], [], 0
        for number in range(QUESTIONS):
            passage = passages[(number * 7919) % len(passages)]
            question = corpus.question(passage, strangers)
            began, cpu = time.perf_counter(), time.thread_time()
            hits = find(question)
            times.append((time.perf_counter() - began) * 1000)
            spent.append((time.thread_time() - cpu) * 1000)
            found += passage in hits
        print(f"  {name}: {_told(times)}, of CPU {_told(spent)}; among the first five: {found / QUESTIONS:.0%}")


def _told(times: Sequence[float]) -> str:
    return f"p50 {statistics.median(times):.1f} ms, p95 {statistics.quantiles(times, n=20)[18]:.1f} ms"
