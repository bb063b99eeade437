"""How fast slots become free, measured, to compute `Retry-After`."""

import math

SMOOTHING = 0.2
FIRST_GUESS_S = 1.0


class ServiceRate:
    """A moving average of the seconds a request holds its slot."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._hold_s = FIRST_GUESS_S

    def record(self, hold_s: float) -> None:
        """Note that a request held its slot for `hold_s` seconds."""
        self._hold_s += SMOOTHING * (hold_s - self._hold_s)

    def retry_after_s(self, waiting: int) -> int:
        """Whole seconds (1 to 60) until a new request behind `waiting` others can expect a slot."""
        return max(1, min(60, math.ceil((waiting + 1) * self._hold_s / self._slots)))
