"""Whether pages of any origin may ask `/v1`, because publishable API tokens exist (docs/adr/0133)."""

from __future__ import annotations  # every function imports this, and the port is for the type checker

import logging
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from sluice.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from sluice.ports.tokens import PublishedTokens

log = logging.getLogger("sluice.tokens")
LOOK_AGAIN_SECONDS = 1.0


class AnyOrigin:
    """Thread-safe. The time until which such tokens exist never shrinks, so once it is known nothing is read until it
    is over; before that, at most once a second. `monotonic`: a clock in seconds."""

    def __init__(self, published: PublishedTokens, monotonic: Callable[[], float]) -> None:
        self._published, self._monotonic = published, monotonic
        self._until_s, self._looked_s, self._looking = 0, float("-inf"), Lock()

    def announce(self, until_s: int) -> None:
        """`sluice.ports.tokens.PublishedTokens`, so that this process knows at once. Errors: StoreUnavailable."""
        self._published.announce(until_s)
        self._until_s = max(self._until_s, until_s)

    def until_s(self) -> int:
        return self._until_s

    def is_asked(self, now_s: int) -> bool:
        if self._until_s > now_s:
            return True
        with self._looking:
            if self._monotonic() - self._looked_s >= LOOK_AGAIN_SECONDS:
                try:
                    self._until_s = max(self._until_s, self._published.until_s())
                except StoreUnavailable:
                    log.warning("it is not known whether publishable API tokens exist")
                finally:
                    self._looked_s = self._monotonic()
        return self._until_s > now_s
