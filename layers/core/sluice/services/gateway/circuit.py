"""Leaves a model server alone that has failed several times, and asks it again after a pause, one request first."""

from collections import deque
from collections.abc import Callable
from threading import Lock

FAILURES = 5
WITHIN_SECONDS = 30.0
PAUSE_SECONDS = 10.0


class Circuit:
    """Thread-safe. `monotonic`: a clock in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failed: deque[float] = deque(maxlen=FAILURES)
        self._asked_again_at: float | None = None
        self._lock = Lock()

    def lets_through(self) -> bool:
        """Whether the server may be asked now. After a pause only one request finds out whether it works again."""
        if self._asked_again_at is None:
            return True
        with self._lock:
            now = self._monotonic()
            if self._asked_again_at is None or now >= self._asked_again_at:
                if self._asked_again_at is not None:
                    self._asked_again_at = now + PAUSE_SECONDS
                return True
            return False

    def seconds_left(self) -> float:
        """Until the server is asked again; 0 if it is asked."""
        again = self._asked_again_at
        return 0.0 if again is None else max(0.0, again - self._monotonic())

    def failed(self) -> None:
        with self._lock:
            now = self._monotonic()
            self._failed.append(now)
            if len(self._failed) == FAILURES and now - self._failed[0] <= WITHIN_SECONDS:
                self._asked_again_at = now + PAUSE_SECONDS

    def began(self) -> None:
        """It has begun an answer, so it is asked again; whether it ends one is not known yet."""
        self._asked_again_at = None

    def worked(self) -> None:
        if self._failed:
            with self._lock:
                self._failed.clear()
                self._asked_again_at = None
