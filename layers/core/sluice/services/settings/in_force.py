"""Which of the owner's settings are in force in this process."""

from __future__ import annotations  # a process that finds no settings does not import their form

import logging
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from sluice.domain.errors import StoreUnavailable
from sluice.domain.settings.versions import InForce, in_force

if TYPE_CHECKING:
    from sluice.ports.settings import SettingsStore

log = logging.getLogger("sluice.settings")

FRESH_SECONDS = 5.0  # so that with the read itself a change is in force everywhere within 10 s
LOOKED_AT = 10  # versions, newest first, of which one should be good


class SettingsInForce:
    """What this process knows of the settings. Thread-safe. `monotonic`: a clock in seconds."""

    def __init__(self, store: SettingsStore, monotonic: Callable[[], float]) -> None:
        self._store, self._monotonic = store, monotonic
        self._known, self._looked_s = InForce(), float("-inf")
        self._reading, self._changing = Lock(), Lock()

    def known(self) -> InForce:
        """Without a read."""
        return self._known

    def current(self) -> InForce:
        """At most `FRESH_SECONDS` old. While the store does not answer, what was known stays in force.

        One thread reads; the others go on with what is known, except before the first read, which they await.
        """
        if not self._is_old() or not self._reading.acquire(blocking=self._looked_s < 0):
            return self._known
        try:
            if self._is_old():
                began_s = self._monotonic()
                try:
                    self.read()
                    self._looked_s = began_s
                except StoreUnavailable:  # which may have taken longer than that: an outage costs one read in 5 s
                    self._looked_s = self._monotonic()
                    raise
        except StoreUnavailable:
            log.warning("the settings cannot be read: version %d stays in force", self._known.version)
        finally:
            self._reading.release()
        return self._known

    def read(self) -> InForce:
        """From the store, now. Errors: StoreUnavailable."""
        read = in_force(self._store.newest(1))
        if read.problem:
            read = in_force(self._store.newest(LOOKED_AT))
        with self._changing:  # reads that overtake each other
            before, self._known = self._known, read.after(self._known)
        if self._known.problem and self._known.problem != before.problem:
            log.error("%s Version %d stays in force.", self._known.problem, self._known.good_version)
        return self._known

    def _is_old(self) -> bool:
        return self._monotonic() - self._looked_s >= FRESH_SECONDS
