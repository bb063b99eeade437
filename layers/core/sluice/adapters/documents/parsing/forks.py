"""`python -m sluice.adapters.documents.parsing.forks DESCRIPTOR` forks a process for each file (docs/adr/0106).

    the socket:  filename, seconds and three files ──▶ began ID, by the new process ──▶ status, null if it ran too long

It has one thread and reads no byte of a file, so each process begins in the same state as the one before. Between
files it imports what the parsers need. It ends after IDLE_SECONDS, after MOST_FILES, and with its socket.
"""

import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress

from sluice.adapters.documents.parsing import work

IDLE_SECONDS = 60.0
MOST_FILES = 500
MOST_ASKED_BYTES = 65_536
LONGEST_PAUSE_SECONDS = 0.01
OURS = tuple(f"{work.__package__}.{name}" for name in (*work.READERS.values(), "kinds"))
IMPORTED = ("PIL.Image", "docx", "pypdf", "charset_normalizer", *OURS)
"""The last one first. One that is not installed is left out."""


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    later = list(IMPORTED)
    for _ in range(MOST_FILES):
        while later and not _is_asked(control, 0):
            with suppress(ImportError):
                importlib.import_module(later.pop())
        if not _is_asked(control, IDLE_SECONDS):
            return
        asked, files, _, _ = socket.recv_fds(control, MOST_ASKED_BYTES, 3)
        if not asked:
            return
        filename, seconds = json.loads(asked)
        pid = _fork(filename, files, control)
        control.sendall(json.dumps(_ended(pid, seconds, control)).encode() + b"\n")


def _is_asked(control: socket.socket, seconds: float) -> bool:
    """Also when the other side has gone."""
    return bool(select.select([control], [], [], seconds)[0])


def _fork(filename: str, files: list[int], control: socket.socket) -> int:
    pid = os.fork()
    if not pid:
        _work(filename, files, control)
    with suppress(OSError):  # whoever of both is the first makes the group
        os.setpgid(pid, pid)
    for file in files:
        os.close(file)
    return pid


def _work(filename: str, files: list[int], control: socket.socket) -> None:
    """In the new process, which has nothing but the file and where to write."""
    status, last = 1, max(control.fileno(), *files)
    try:
        os.setpgid(0, 0)
        control.sendall(b"began %d\n" % os.getpid())  # before the file can end the server
        for place, file in enumerate(files):
            os.dup2(file, place)
        os.closerange(3, last + 1)
        sys.argv[1:] = [filename]
        work.main()
        sys.stdout.flush()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _ended(pid: int, seconds: float, control: socket.socket) -> int | None:
    """The exit status, as `subprocess` has it. Its whole group is killed, so its children too."""
    until, pause, done, status = time.monotonic() + seconds, 0.0005, 0, 0
    while not done and time.monotonic() < until and not _is_asked(control, pause):
        done, status = os.waitpid(pid, os.WNOHANG)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if done:
        return os.waitstatus_to_exitcode(status)
    os.waitpid(pid, 0)
    return None


if __name__ == "__main__":
    main()
