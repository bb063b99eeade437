"""Records and stops processes. A record has pid and start time, because the kernel reuses pids."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
STAT_FIELDS_BEFORE_START = 19  # of /proc/PID/stat, after the command's closing parenthesis


def start_time(pid: int) -> str | None:
    """An opaque value that identifies the process with this pid; None when it does not exist or is a zombie."""
    if sys.platform == "linux":
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return None if fields[0] == "Z" else fields[STAT_FIELDS_BEFORE_START]
        return None
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return shown.stdout.strip() or None


def record(folder: Path, name: str) -> None:
    """Write this process's own pid and start time as `folder/NAME.pid`, atomically."""
    draft = folder / f".{name}"  # one name, so that attempts on a full disk leave one file
    draft.write_text(f"{os.getpid()} {start_time(os.getpid())}\n")
    draft.rename(folder / f"{name}.pid")


def recorded(folder: Path, name: str) -> int | None:
    """The pid in `folder/NAME.pid`, if the recorded process still runs."""
    try:
        pid, _, started = (folder / f"{name}.pid").read_text().strip().partition(" ")
    except OSError:
        return None
    if not pid.isdigit() or start_time(int(pid)) != started:
        return None
    return int(pid)


def kill_rest_of_group(folder: Path, name: str) -> None:
    """Kill the remaining workers of a recorded process that died, because they may still hold its port.

    The kernel does not reuse a group's number while it has members, so a group without its leader is the old one.
    """
    try:
        pid = int((folder / f"{name}.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    if pid > 1 and start_time(pid) is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def stop(pid: int, patience_seconds: float) -> None:
    """Send SIGTERM, and after `patience_seconds` SIGKILL to the process group, which `pid` must lead."""
    started = start_time(pid)
    for number, seconds in ((signal.SIGTERM, patience_seconds), (signal.SIGKILL, 2.0)):
        if started is None or start_time(pid) != started:
            return
        with suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)
        _wait_gone(pid, started, seconds)


def _wait_gone(pid: int, started: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and start_time(pid) == started:
        time.sleep(0.02)


def stop_recorded(folder: Path, names: Iterable[str], patience_seconds: float) -> list[str]:
    """Stop the recorded processes of `names` in this order. Returns the names of those that ran."""
    found = []
    for name in names:
        pid = recorded(folder, name)
        if pid is not None:
            found.append(name)
            stop(pid, patience_seconds)
        kill_rest_of_group(folder, name)
    return found


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Make the kernel send `number` when the parent ends (Linux only). Kept over exec, not over fork."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number))
