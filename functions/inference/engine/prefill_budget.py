"""How many prompt tokens one decode call may take (chunked prefill), and how long a prompt takes."""

from collections import deque
from statistics import median

SMOOTHING = 0.3
FEWEST_TOKENS = 16
"""And the steps beyond. llama.cpp's kernels take 16 rows: a token costs 1.4 times as much in calls of 8 (ADR 116)."""

JUDGED_CALLS = 8
"""About a second. By then they tell the speed of this machine now, and not that of a busier minute."""


class PrefillBudget:
    """Sizes prompt chunks so that one decode call takes about `target_ms`.

    Running streams and cancellations wait for one such call at most; llama.cpp cannot stop within a call.
    """

    def __init__(self, target_ms: float, most_tokens: int) -> None:
        self._target_ms = target_ms
        self._most_tokens = most_tokens
        self._ms_per_token = target_ms / FEWEST_TOKENS  # cautious until the first measurement
        self._measured = False
        self._last: deque[float] = deque(maxlen=JUDGED_CALLS)

    @property
    def tokens(self) -> int:
        """Prompt tokens of the next call."""
        fitting = int(self._target_ms / self._ms_per_token) if self._ms_per_token > 0 else self._most_tokens
        return min(self._most_tokens, max(FEWEST_TOKENS, fitting - fitting % FEWEST_TOKENS))

    def seconds_for(self, tokens: int) -> float:
        """How long a prompt of so many tokens takes by the last calls, of which a few may have been much slower."""
        return tokens * median(self._last or [self._ms_per_token]) / 1000

    def record(self, tokens: int, took_ms: float) -> None:
        """Note that a call of `tokens` rows took `took_ms`. Small calls are ignored: they do not predict large ones."""
        if tokens >= min(FEWEST_TOKENS, self._most_tokens):
            weight = SMOOTHING if self._measured else 1.0
            self._ms_per_token += weight * (took_ms / tokens - self._ms_per_token)
            self._measured = True
            self._last.append(took_ms / tokens)
