"""How many prompt tokens one decode call may take (chunked prefill)."""

SMOOTHING = 0.3
FEWEST_TOKENS = 8
"""Fewer would waste the call: a small matrix costs nearly as much as a single vector."""


class PrefillBudget:
    """Sizes prompt chunks so that one decode call takes about `target_ms`.

    Running streams and cancellations wait for one such call at most; llama.cpp cannot stop within a call.
    """

    def __init__(self, target_ms: float, most_tokens: int) -> None:
        self._target_ms = target_ms
        self._most_tokens = most_tokens
        self._ms_per_token = target_ms / FEWEST_TOKENS  # cautious until the first measurement
        self._measured = False

    @property
    def tokens(self) -> int:
        """Prompt tokens of the next call."""
        fitting = int(self._target_ms / self._ms_per_token) if self._ms_per_token > 0 else self._most_tokens
        return max(min(FEWEST_TOKENS, self._most_tokens), min(self._most_tokens, fitting))

    def record(self, tokens: int, took_ms: float) -> None:
        """Note that a call of `tokens` rows took `took_ms`. Small calls are ignored: they do not predict large ones."""
        if tokens >= min(FEWEST_TOKENS, self._most_tokens):
            weight = SMOOTHING if self._measured else 1.0
            self._ms_per_token += weight * (took_ms / tokens - self._ms_per_token)
            self._measured = True
