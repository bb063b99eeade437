"""Finds the reason of a failure in a process's log."""

from collections.abc import Iterable
from pathlib import Path

OWN_WORDS = "sluice"
SHOWN_LINES = 8
READ_BYTES = 64 * 1024


class LogMarks:
    """The end of each log before this start, because later lines belong to this run."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._folder = folder
        self._marks = {name: self._size(name) for name in names}

    def path(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _size(self, name: str) -> int:
        path = self.path(name)
        return path.stat().st_size if path.exists() else 0

    def reason(self, name: str) -> str:
        """The last line that begins with "sluice NAME: ", else the last lines of the log."""
        try:
            with self.path(name).open("rb") as log:
                log.seek(max(self._marks[name], self._size(name) - READ_BYTES))
                lines = log.read().decode(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        messages = [line for line in lines if line.startswith(f"{OWN_WORDS} {name}: ")]
        if messages:
            return messages[-1].partition(": ")[2]
        return (
            "it ended without an error message"
            if not lines
            else "\n" + "\n".join(f"    {x}" for x in lines[-SHOWN_LINES:])
        )
