"""How many prompt tokens one decode call may take."""

SMOOTHING = 0.3
FEWEST_TOKENS = 8
"""Less would waste the batch: small matrices cost nearly as much as single vectors."""


class Pacer:
    """Sizes prompt chunks so that one decode call takes about `target_ms`.

    A running stream waits for at most one such call, and so does a cancellation: llama.cpp does not stop within one.
    """

    def __init__(self, target_ms: float, most_tokens: int) -> None:
        self._target_ms = target_ms
        self._most_tokens = most_tokens
        self._ms_per_token = target_ms / FEWEST_TOKENS  # careful until something was measured
        self._measured = False

    @property
    def budget_tokens(self) -> int:
        """Prompt tokens of the next call."""
        fitting = int(self._target_ms / self._ms_per_token) if self._ms_per_token > 0 else self._most_tokens
        return max(min(FEWEST_TOKENS, self._most_tokens), min(self._most_tokens, fitting))

    def record(self, tokens: int, took_ms: float) -> None:
        """A call with `tokens` rows took so long; small calls say nothing about large ones."""
        if tokens >= min(FEWEST_TOKENS, self._most_tokens):
            weight = SMOOTHING if self._measured else 1.0
            self._ms_per_token += weight * (took_ms / tokens - self._ms_per_token)
            self._measured = True
