"""The setup's output: one line for each step, a progress line for long steps, one sentence on failure."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SLOW_LINE_SECONDS = 15.0


class SetupError(Exception):
    """The setup failed. The message is for the person at the terminal."""


def say(text: str) -> None:
    print(f"sluice: {text}", file=sys.stderr, flush=True)


def run(command: Sequence[str | Path], what: str, env: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """Run a command, in `folder` if it is given. → its output (stdout and stderr together).

    Errors: SetupError, with the output's last lines.
    """
    done = subprocess.run(
        [str(part) for part in command],
        env=env,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise SetupError(f"{what} failed:\n{tail(done.stdout)}")
    return done.stdout


def tail(text: str, lines: int = 15) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-lines:])


class ProgressLine:
    """Progress in steps and minutes:seconds: on a terminal one line that is redrawn, in a log a line now and then."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._started = time.monotonic()
        self._last_printed = 0.0
        self._tty = sys.stderr.isatty()

    def show(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._tty and now - self._last_printed < SLOW_LINE_SECONDS and done < total:
            return
        self._last_printed = now
        minutes, seconds = divmod(int(now - self._started), 60)
        filled = 24 * done // max(total, 1)
        bar = "#" * filled + "." * (24 - filled)
        line = f"sluice: {self._what} [{bar}] {done}/{total}  {minutes}:{seconds:02}"
        print(f"\r{line}" if self._tty else line, end="" if self._tty else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._tty and self._last_printed:
            print(file=sys.stderr, flush=True)
