"""Watches what the grammars of running answers cost, because all sequences wait for each one's sampling."""

from collections import deque
from statistics import median

COUNTED_TOKENS = 512
EVERY = 64
TIMES_MEDIAN = 10
STEP_SHARE, HARMLESS_SHARE = 0.5, 0.1
HARMLESS_S = 0.00005
GRACE_STEPS, GRACE_S = 10, 0.005
TOKEN_SHARE = 0.25
"""Of the grace, at most, for one token. A busy machine makes single tokens slow, and their CPU time, too."""
SMOOTHING = 0.1


class GrammarWatch:
    """What a sequence's grammar takes above `limit_s` a token adds up; above `grace_s` the sequence must end.

    The limit is ten times the median of all grammars, but never over half a decode step, so that one sequence slows
    the others by no more than a factor of 1.5; and never under a tenth of one, which nobody notices. A sum, because a
    single slow token is noise, or a grammar's first use of a rule: at least four tokens must be slow.
    """

    def __init__(self) -> None:
        self._costs_s: deque[float] = deque(maxlen=COUNTED_TOKENS)
        self._median_s = self._step_s = 0.0
        self._counted = 0

    @property
    def limit_s(self) -> float:
        harmless = max(HARMLESS_S, HARMLESS_SHARE * self._step_s)
        return max(harmless, min(TIMES_MEDIAN * self._median_s, STEP_SHARE * self._step_s))

    @property
    def grace_s(self) -> float:
        return max(GRACE_S, GRACE_STEPS * self._step_s)

    def decoded(self, took_s: float) -> None:
        """Note how long a decode step took."""
        self._step_s += (SMOOTHING if self._step_s else 1.0) * (took_s - self._step_s)

    def excess(self, before_s: float, cost_s: float) -> float:
        """A sequence's excess after a token that took its grammar `cost_s`."""
        self._costs_s.append(cost_s)
        self._counted += 1
        if self._counted % EVERY == 1:
            self._median_s = median(self._costs_s)
        return max(0.0, before_s + min(cost_s - self.limit_s, TOKEN_SHARE * self.grace_s))
