"""Waits for a stop signal through a pipe, because a signal handler must not take a lock."""

import os
import select
import signal
import threading
from collections.abc import Callable


class StopSignals:
    """Receives SIGINT, SIGTERM and the signals in `more` from its creation on."""

    def __init__(self, *more: signal.Signals) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        for number in (signal.SIGINT, signal.SIGTERM, *more):
            signal.signal(number, lambda *_: os.write(self._write, b"!"))

    def wait(self, seconds: float | None = None) -> bool:
        """Whether a signal arrived within `seconds` (None: wait without limit)."""
        if not select.select([self._read], [], [], seconds)[0]:
            return False
        os.read(self._read, 100)
        return True


def run_threads(start: Callable[[threading.Event], list[threading.Thread]], stop_seconds: float) -> None:
    """Run the threads until a signal, then exit the process. A thread that is not done in `stop_seconds` is cut off."""
    stopping, signals = threading.Event(), StopSignals()
    threads = start(stopping)
    signals.wait()
    stopping.set()
    for thread in threads:
        thread.join(stop_seconds)
    os._exit(0)
