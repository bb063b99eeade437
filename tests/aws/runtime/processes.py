"""A function's processes, as in a sandbox: stopped, frozen or thawed together, by their ids."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

GONE_SECONDS = 60.0


@contextmanager
def running(
    command: Sequence[str | Path], environment: Mapping[str, str], folder: Path, log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a program with its output in `log`. At the end it and all its descendants are killed."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(word) for word in command],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield process
    finally:
        kill(process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    family = tree(process.pid)
    for pid in family:
        _signal(pid, signal.SIGKILL)
    process.wait(GONE_SECONDS)


def tree(pid: int) -> list[int]:
    """The process and all that descend from it, parents first."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def freeze(pid: int) -> None:
    """As Lambda does between two invocations. Returns when everything has stopped."""
    family = tree(pid)
    for one in family:
        _signal(one, signal.SIGSTOP)
    until = time.monotonic() + GONE_SECONDS
    while any(state(one) not in ("T", "Z", "") for one in family):
        assert time.monotonic() < until, "not frozen"
        time.sleep(0.002)


def thaw(pid: int) -> None:
    for one in tree(pid):
        _signal(one, signal.SIGCONT)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
