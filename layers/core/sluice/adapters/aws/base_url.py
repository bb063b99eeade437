"""The base URL of this deployment: a setting on one machine, a parameter read at runtime on AWS.

On AWS a function's environment cannot hold it, because the API gets its address after it is created from the functions
(docs/adr/0050-base-url-at-runtime.md).
"""

import logging
import threading
from collections.abc import Callable

from sluice.domain.errors import Unavailable

log = logging.getLogger("sluice.base_url")

FRESH_SECONDS = 300.0  # a custom domain that is added later appears in all links after this time
RETRY_SECONDS = 20.0  # after a failure, while an older value is in use


class ParameterUrl:
    """Reads the parameter at first use and every 300 s. The last value stays in use if a later read fails."""

    def __init__(self, name: str, read: Callable[[str], str], clock: Callable[[], float]) -> None:
        self._name, self._read, self._clock = name, read, clock
        self._reading = threading.Lock()
        self._url = ""
        self._good_until = float("-inf")

    def __call__(self) -> str:
        """The URL without a slash at its end. Errors: Unavailable, if it was never read and cannot be read now."""
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
