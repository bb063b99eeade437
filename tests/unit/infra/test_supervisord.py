"""A log file of supervisord's on a full disk: nothing is raised, and the log goes on when there is room."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import IO, Any

import pytest
from supervisor import loggers

from infra.local.supervisord import LogFile

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="/dev/full is Linux's")


@contextmanager
def _full_disk(handler: loggers.RotatingFileHandler) -> Iterator[None]:
    """The log file and stderr are on it, as those of supervisord are."""
    _redirect(handler.stream, FULL)
    with FULL.open("w", buffering=1) as stderr, redirect_stderr(stderr):
        try:
            yield
        finally:
            _redirect(stderr, Path(os.devnull))  # where what is still buffered can be written


def _emit(handler: loggers.RotatingFileHandler, text: str) -> None:
    handler.setFormat("%(message)s\n")
    handler.emit(loggers.LogRecord(loggers.LevelsByName.INFO, text))


def _redirect(stream: IO[Any], path: Path) -> None:
    """Every later write of an open file goes to `path`."""
    other = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.dup2(other, stream.fileno())
    os.close(other)


def test_a_log_line_that_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    handler = LogFile(str(tmp_path / "app.log"), maxBytes=1000, backupCount=1)
    with _full_disk(handler):
        for _ in range(1000):  # more than the file's buffer
            _emit(handler, "x" * 100)
    _redirect(handler.stream, tmp_path / "app.log")
    _emit(handler, "there is room again")
    handler.close()
    assert "there is room again" in (tmp_path / "app.log").read_text()


def test_a_rotation_that_fails_on_a_full_disk_is_made_up_for(tmp_path: Path) -> None:
    handler = LogFile(str(tmp_path / "app.log"), maxBytes=50, backupCount=1)
    _emit(handler, "x" * 40)
    handler.stream.write(b"y" * 20)  # in the buffer, so that closing the file must write it
    with _full_disk(handler):
        _emit(handler, "left out")
        _emit(handler, "z" * 60)
    _emit(handler, "there is room again")
    handler.close()
    assert "there is room again" in (tmp_path / "app.log.1").read_text()  # and it made the file large enough


def test_supervisors_own_log_file_would_end_it(tmp_path: Path) -> None:
    handler = loggers.RotatingFileHandler(str(tmp_path / "app.log"), maxBytes=1000, backupCount=1)
    with pytest.raises(OSError, match="No space left"), _full_disk(handler):
        _emit(handler, "x")
    _redirect(handler.stream, Path(os.devnull))
    handler.close()
