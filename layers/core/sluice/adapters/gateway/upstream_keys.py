"""The key of a model server, from where the owner's settings say that it is: `env:NAME`, `file:PATH` or `ssm:NAME`."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from sluice.domain.errors import ModelUnavailable, Unavailable

log = logging.getLogger("sluice.upstream")

FRESH_SECONDS = 60.0  # after which a file or parameter is read again, so that a key can be replaced
MAX_KEY_BYTES = 4096


def key_at(place: str) -> Callable[[], str]:
    """→ a function that tells the key. Its errors: ModelUnavailable; neither they nor the log show a key."""
    known: tuple[str, float] | None = None

    def key() -> str:
        nonlocal known
        if known is None or time.monotonic() - known[1] > FRESH_SECONDS:
            known = _checked(place, _read(place)), time.monotonic()
        return known[0]

    return key


def _read(place: str) -> str:
    kind, _, where = place.partition(":")
    try:
        if kind == "env":
            return os.environ[where]
        if kind == "file":
            with Path(where).open("rb") as file:
                return file.read(MAX_KEY_BYTES + 1).decode("ascii", "replace")
        from sluice.adapters.aws.ssm import parameter

        return parameter(where)
    except (KeyError, OSError, Unavailable) as exc:
        log.error("there is no key at %s: %s", place, type(exc).__name__)
        raise ModelUnavailable() from exc


def _checked(place: str, text: str) -> str:
    key = text.strip()
    if not 0 < len(key) <= MAX_KEY_BYTES or not key.isascii() or not key.isprintable() or " " in key:
        log.error("what is at %s is no key: one line of ASCII without blanks is", place)
        raise ModelUnavailable()
    return key
