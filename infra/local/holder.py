"""The run that has a data directory, as it notes itself in the lock: for another `sluice up` and `sluice upgrade`."""

import os
import re
import signal
import time
from dataclasses import dataclass

import sluice

BEGIN_AGAIN = signal.SIGUSR1
"""A run stops in order at this signal, and executes the installed version in the same process."""
NOTE = re.compile(r"process (\d+), (\S+?)(?:, sluice (\S+), since (\d+))?\s*")


@dataclass(frozen=True)
class Holder:
    """`version`: empty for one up to 0.2.0, which BEGIN_AGAIN would end. `since_ns`: another at each start."""

    pid: int
    url: str
    version: str = ""
    since_ns: int = 0

    @classmethod
    def of(cls, url: str) -> "Holder":
        """This process."""
        return cls(os.getpid(), url, sluice.__version__, time.time_ns())

    @classmethod
    def read(cls, note: str) -> "Holder | None":
        """None if the note is not written yet."""
        found = NOTE.fullmatch(note)
        return cls(int(found[1]), found[2], found[3] or "", int(found[4] or 0)) if found else None

    def note(self) -> str:
        return f"process {self.pid}, {self.url}, sluice {self.version}, since {self.since_ns}"

    def __str__(self) -> str:
        """For a person."""
        return f"process {self.pid}, {self.url}"
