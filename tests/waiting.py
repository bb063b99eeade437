"""Wait for what another thread or process does."""

import time
from collections.abc import Callable
from typing import Any


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> Any:
    """What the condition returns, as soon as it holds; after `seconds` it is an AssertionError."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"not within {seconds:g} s"
        time.sleep(0.01)
    return found
