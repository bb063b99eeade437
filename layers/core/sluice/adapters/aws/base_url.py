"""Where people reach this deployment: a setting on one machine, a parameter read at runtime on AWS.

A function's environment cannot hold it there: the API's address is known only once the API is made, and the API is made
of the functions (docs/adr/0050-base-url-at-runtime.md).
"""

import logging
import threading
from collections.abc import Callable

from sluice.domain.errors import Unavailable

log = logging.getLogger("sluice.base_url")

FRESH_SECONDS = 300.0  # a custom domain that comes later is in every link this long after
RETRY_SECONDS = 20.0  # after a failure, with an older value at hand


class ParameterUrl:
    """Read at the first need and then once in a while. What was read before is good while the store is away."""

    def __init__(self, name: str, read: Callable[[str], str], clock: Callable[[], float]) -> None:
        self._name, self._read, self._clock = name, read, clock
        self._reading = threading.Lock()
        self._url = ""
        self._good_until = float("-inf")

    def __call__(self) -> str:
        """Without a slash at its end. Errors: Unavailable, where it was never read and cannot be read now."""
        if self._clock() < self._good_until:
            return self._url
        with self._reading:
            if self._clock() >= self._good_until:
                self._refresh()
        return self._url

    def _refresh(self) -> None:
        try:
            found = self._read(self._name).strip().rstrip("/")
            if not found.startswith(("https://", "http://")):
                log.error("parameter %s holds no address: %r", self._name, found)
                raise Unavailable()
        except Unavailable:
            if not self._url:
                raise
            log.warning("parameter %s not read; going on with the last value", self._name)
            self._good_until = self._clock() + RETRY_SECONDS
        else:
            self._url, self._good_until = found, self._clock() + FRESH_SECONDS
