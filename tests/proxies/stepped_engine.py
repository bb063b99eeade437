"""A model server whose every token waits for the test, which so knows what was passed on before the next one."""

import threading

from tests.chaos.slow_engine import SlowEngine


class SteppedEngine(SlowEngine):
    def __init__(self, tokens: int = 6) -> None:
        self._steps = threading.Semaphore(0)
        super().__init__(tokens=tokens)

    def step(self, tokens: int = 1) -> None:
        """Let the running answer have that many more."""
        self._steps.release(tokens)

    def rest(self) -> None:
        """Forget steps that no answer took."""
        while self._steps.acquire(blocking=False):
            pass

    def _pause(self) -> None:
        self._steps.acquire()
