"""Which models a server serves, remembered for a few seconds to save a round trip."""

import logging
import time
from threading import Lock
from typing import Any

from sluice.domain.errors import ModelUnavailable, SluiceError
from sluice.ports.gateway import Upstream

log = logging.getLogger("sluice.upstream")

FRESH_SECONDS = 10.0
RETRY_SECONDS = 0.5


class ModelList:
    """Keeps the last good list while the model server is down, because each request gets its own error then.
    Thread-safe: one thread asks, and the others go on with what is known, once it was asked. `retry_seconds`: after a
    failure with nothing remembered."""

    def __init__(self, upstream: Upstream, retry_seconds: float = RETRY_SECONDS) -> None:
        self._upstream, self._retry_seconds = upstream, retry_seconds
        self._models: dict[str, dict[str, Any]] = {}
        self._is_known = self._was_asked = False
        self._asked = float("-inf")
        self._asking = Lock()

    def all(self) -> list[dict[str, Any]]:
        """Errors: ModelUnavailable."""
        return list(self._fresh().values())

    def find(self, name: str) -> dict[str, Any] | None:
        """Errors: ModelUnavailable."""
        found = self._models.get(name)
        if found is None or time.monotonic() - self._asked > FRESH_SECONDS:
            found = self._fresh().get(name)
        return found

    def may_have(self, name: str) -> bool:
        """By what is known; of a list that is not known, any."""
        return not self._is_known or name in self._models

    def _fresh(self) -> dict[str, dict[str, Any]]:
        pause = FRESH_SECONDS if self._models else self._retry_seconds
        if time.monotonic() - self._asked > pause and self._asking.acquire(blocking=not self._was_asked):
            try:
                if time.monotonic() - self._asked > pause:  # no other thread has asked meanwhile
                    self._ask()
            finally:
                self._asking.release()
        if not self._is_known:
            raise ModelUnavailable()
        return self._models

    def _ask(self) -> None:
        try:
            self._models = {str(model["id"]): dict(model) for model in self._upstream.models()}
            self._is_known = True
        except SluiceError:  # also one about the request, because nobody's is meant
            pass
        except (LookupError, TypeError, ValueError):
            log.warning("a model server lists what are no models")
        finally:  # from its end on: a server that is silent for longer than the pause would be asked by each who waits
            self._was_asked, self._asked = True, time.monotonic()
