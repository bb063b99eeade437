"""One process for each file, without credentials, so that a hostile file hangs or crashes only its own (ADR 71).

The process sets its own limits before it reads a byte (`work.py`). This side measures the time and kills the process
group.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from sluice.domain.documents.document import File, Unreadable
from sluice.domain.documents.passages import Block
from sluice.domain.errors import Unavailable

log = logging.getLogger("sluice.ingestion")

WALL_SECONDS = 60.0
MOST_OUTPUT_BYTES = 64 * 1024 * 1024
SHOWN_CHARACTERS = 500
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "TESSDATA_PREFIX", "TMPDIR", "COVERAGE_PROCESS_START")


def parse(file: File, body: bytes, wall_seconds: float = WALL_SECONDS) -> Sequence[Block]:
    """Errors: Unreadable, whose message is for the file's owner; Unavailable when no process can be started now."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(body)
        stdin.seek(0)
        status = _run(file.filename, stdin, stdout, stderr, wall_seconds)
        if status == 0:
            stdout.seek(0)
            return _blocks(stdout.read(MOST_OUTPUT_BYTES))
        stderr.seek(0)
        last_words = stderr.read()[-SHOWN_CHARACTERS:].decode("utf-8", "replace")
        extra = {"file_id": file.file_id, "status": status, "said": last_words}
        log.warning("the parser process failed; see status and said", extra=extra)
    raise Unreadable(_reason(status, wall_seconds))


def _run(filename: str, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes], wall_seconds: float) -> int | None:
    """The exit status; a negative number is the signal that ended the process; None means that it ran too long."""
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUTF8": "1"}
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "sluice.adapters.documents.parsing.work", filename],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except OSError as exc:
        raise Unavailable() from exc
    try:
        return process.wait(wall_seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # the whole group, so its children too
        process.wait()


def _blocks(output: bytes) -> Sequence[Block]:
    try:
        answer: dict[str, Any] = json.loads(output)
        if "unreadable" in answer:
            raise Unreadable(str(answer["unreadable"]))
        return [Block(int(level), str(text)) for level, text in answer["blocks"]]
    except (ValueError, LookupError, TypeError) as exc:
        raise Unreadable("The file could not be read.") from exc


def _reason(status: int | None, wall_seconds: float) -> str:
    if status is None or status == -signal.SIGXCPU:
        return f"Reading the file took longer than {wall_seconds:.0f} seconds."
    if status == -signal.SIGXFSZ:
        return "The file holds too much text."
    return "The file could not be read: its parser ended unexpectedly."
