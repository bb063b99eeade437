"""Waits until the whole system is ready, and shows progress."""

import sys
import time
from typing import Any

from infra.local.errors import LaunchError
from infra.local.logs import LogMarks
from infra.local.supervision import DEAD_STATES, Supervisor
from infra.local.tables_ready import NO_ANSWER, exchange

ASK_EVERY_SECONDS = 0.04
STATES_EVERY_SECONDS = 0.25
LINE_EVERY_SECONDS = 5.0
HEALTH_TIMEOUT_SECONDS = 3.0


def health(url: str) -> dict[str, Any]:
    """The body of /healthz (status 200 or 503); empty while nothing answers."""
    try:
        _status, report = exchange(f"{url}/healthz", HEALTH_TIMEOUT_SECONDS)
    except NO_ANSWER:
        return {}
    return report if isinstance(report, dict) else {}


class Progress:
    """Shows progress: one updated line on a terminal, a new line every few seconds elsewhere."""

    def __init__(self) -> None:
        self._began = self._printed = time.monotonic()
        self._tty = sys.stderr.isatty()
        self._drawn = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def show(self, what: str) -> None:
        now = time.monotonic()
        if now - self._printed < (0.1 if self._tty else LINE_EVERY_SECONDS):
            return
        self._printed, self._drawn = now, True
        line = f"sluice: {what} … {self.seconds:.0f} s"
        print(f"\r\x1b[K{line}" if self._tty else line, end="" if self._tty else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._tty and self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Wait:
    """Waits for one start: call `step()` until it returns the health of the ready system."""

    def __init__(self, url: str, supervisor: Supervisor, marks: LogMarks, deadline_seconds: float) -> None:
        self._url, self._supervisor, self._marks = url, supervisor, marks
        self._deadline_seconds = deadline_seconds
        self._states_asked = 0.0
        self._pids: dict[str, int] = {}
        self.progress = Progress()

    def step(self) -> dict[str, Any] | None:
        """Ask once. Raises LaunchError at the deadline, and with the reason when a process cannot start."""
        report = health(self._url)
        if report.get("status") == "ok":
            self.progress.end()
            return report
        if time.monotonic() - self._states_asked > STATES_EVERY_SECONDS:
            self._states_asked = time.monotonic()
            self._refuse_dead_child()
        waiting_for = ", ".join(report.get("waiting_for") or ["the app"])
        if self.progress.seconds > self._deadline_seconds:
            self.progress.end()
            raise LaunchError(f"not ready after {self._deadline_seconds:.0f} s; still waiting for {waiting_for}.")
        self.progress.show(f"waiting for {waiting_for}")
        time.sleep(ASK_EVERY_SECONDS)
        return None

    def _refuse_dead_child(self) -> None:
        for child in self._supervisor.states():
            # A process that ran for a second before it failed is restarted at once, so compare its pid as well.
            died = child.state in DEAD_STATES or (
                child.pid and self._pids.setdefault(child.name, child.pid) != child.pid
            )
            if died:
                self.progress.end()
                log = self._marks.path(child.name)
                raise LaunchError(f"{child.name} cannot start: {self._marks.reason(child.name)}\n  its log: {log}")
