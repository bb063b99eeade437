"""supervisord, which goes on while the disk is full: its log files leave out what they cannot write.

Its own ones print the error to stderr, which is on the same disk. That raises, and ends supervisord with everything.
"""

from contextlib import suppress
from typing import Any

from supervisor import loggers, supervisord


class LogFile(loggers.RotatingFileHandler):  # type: ignore[misc]
    """A log file of supervisord's or of one of its processes."""

    stream: Any

    def handleError(self) -> None:
        """Called in `emit` for every exception of a write."""

    def doRollover(self) -> None:
        try:
            super().doRollover()
        except (OSError, ValueError):  # ValueError: an earlier call closed the file before it failed
            with suppress(OSError):
                self.stream = open(self.baseFilename, "ab")  # noqa: SIM115 - it stays open, as the one before


if __name__ == "__main__":
    loggers.RotatingFileHandler = LogFile
    supervisord.main()
