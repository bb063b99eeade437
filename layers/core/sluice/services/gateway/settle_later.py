"""Settle again what the store did not take. Only this process knows an ended answer's exact counts: the sweeper, which
settles what is left behind, knows those of the last checkpoint."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("sluice.exchange")

EVERY_SECONDS = 1.0
FOR_SECONDS = (
    600.0  # the sweeper settles a lease 40 to 100 s after its last renewal, unless the store is down for it, too
)
MOST = 1_000


@dataclass(frozen=True)
class Unsettled:
    """`settled` tries once and says whether it succeeded; `given_up` is called if it never does."""

    settled: Callable[[], bool]
    given_up: Callable[[], None]
    until: float  # time.monotonic()


class SettleLater:
    """At most `MOST` settlements, which one thread repeats while there are any, the oldest first. In a frozen Lambda
    environment it goes on with the next request; what a process leaves when it ends is the sweeper's."""

    def __init__(self, every_seconds: float = EVERY_SECONDS, for_seconds: float = FOR_SECONDS) -> None:
        self._every, self._for = every_seconds, for_seconds
        self._waiting: deque[Unsettled] = deque()
        self._lock, self._running = threading.Lock(), False

    def add(self, settled: Callable[[], bool], given_up: Callable[[], None]) -> None:
        with self._lock:
            room = len(self._waiting) < MOST
            if room:
                self._waiting.append(Unsettled(settled, given_up, time.monotonic() + self._for))
            if room and not self._running:  # said after the start, which may fail: then the next one tries again
                threading.Thread(target=self._repeat, name="settle-later", daemon=True).start()
                self._running = True
        if not room:
            given_up()

    def _repeat(self) -> None:
        while True:
            time.sleep(self._every)
            while self._waiting and self._oldest_is_done():
                self._waiting.popleft()
            with self._lock:
                if not self._waiting:
                    self._running = False
                    return
                self._waiting.rotate(-1)  # so that one that never succeeds holds up no other

    def _oldest_is_done(self) -> bool:
        oldest = self._waiting[0]
        try:
            if oldest.settled():
                return True
            if time.monotonic() < oldest.until:
                return False
        except Exception:
            log.exception("settlement not repeated")
        oldest.given_up()
        return True
