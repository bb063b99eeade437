"""The whole system, started by `make up` as a user does."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.local.datadir import DataDir
from infra.local.processes import recorded, start_time, stop_recorded
from tests.e2e.place import own_environment
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
NAMES = ("store", "inference", "schedule", "relay", "ingestion", "worker", "app")
READY_SECONDS = 120.0
STOP_SECONDS = 120.0
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
GENEROUS = {
    "SLUICE_AUTH_THROTTLE": "off",
    "SLUICE_DEFAULT_RPM": "100000",
    "SLUICE_DEFAULT_TPM": "100000000",
    "SLUICE_DEFAULT_CONCURRENCY": "200",
    "SLUICE_DEFAULT_MONTHLY_TOKENS": "1000000000",
}
KEPT = {"SPT_NOENV": "1"}
"""gunicorn names its processes by setproctitle where that is installed, as beside the development tools. Without this
it would write over the environment, by which tests find a run's processes."""


@contextmanager
def running(folder: Path) -> Iterator["System"]:
    """A ready system with high limits and no login throttles."""
    system = System(folder / "data")
    try:
        yield system.start()
    finally:
        system.discard()


class System:
    """One run of `make up`. `output()` returns everything it printed."""

    def __init__(self, data_dir: Path, env: Mapping[str, str] | None = None, port: int | None = None) -> None:
        self.data_dir, self.port = data_dir, port or free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._printed = data_dir.with_name(data_dir.name + ".out")
        asked = {"PORT": str(self.port), "SLUICE_DATA_DIR": str(data_dir)}
        self.environment = own_environment() | asked | GENEROUS | KEPT | dict(env or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.command, self.folder = ["make", "--no-print-directory", "up"], ROOT

    def start(self) -> "System":
        """Returns when the system is ready; otherwise fails and shows its output."""
        self.launch()
        until = time.monotonic() + READY_SECONDS
        while "sluice is ready at" not in self.output():
            assert self.process is not None and self.process.poll() is None, f"it ended:\n{self.output()}"
            assert time.monotonic() < until, f"not ready:\n{self.output()}"
            time.sleep(0.05)
        return self

    def launch(self) -> None:
        with self._printed.open("wb") as printed:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own process group, which Ctrl-C reaches as in a terminal
            )

    def output(self) -> str:
        return self._printed.read_text(errors="replace") if self._printed.exists() else ""

    def wait_ended(self, seconds: float = STOP_SECONDS) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def ctrl_c(self) -> int:
        """Sends SIGINT to make and `sluice up`, as a terminal does. Returns make's exit status."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)
        return self.wait_ended()

    def stop(self) -> None:
        """Stops the system in any state."""
        if self.process is None:
            return
        if self.process.poll() is None:
            try:
                self.ctrl_c()
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def discard(self) -> None:
        """Kills what still runs, because an orderly stop takes seconds and is what tests of their own are about."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.kill_launcher()
        stop_recorded(self.data_dir / "run", ("supervisor", *NAMES), patience_seconds=0)
        DataDir(self.data_dir).leave()

    def kill_launcher(self) -> None:
        """Kills make and `sluice up` with SIGKILL."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    # --- inspection

    def pids(self) -> dict[str, int]:
        """The pids of the running children, by name."""
        pids = {name: recorded(self.data_dir / "run", name) for name in NAMES}
        return {name: pid for name, pid in pids.items() if pid is not None}

    def pid(self, name: str) -> int:
        return self.pids()[name]

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Returns the killed pid."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def stop_store(self) -> list[int]:
        """SIGSTOP to the store and to the process that leads to it. Returns their pids."""
        pid = self.pid("store")
        pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        for each in pids:
            os.kill(each, signal.SIGSTOP)
        return pids

    def wait_restarted(self, name: str, old_pid: int, seconds: float = READY_SECONDS) -> None:
        """Waits until a new process has this name and the whole system answers again."""
        self.wait_until(lambda: self.pids().get(name, old_pid) != old_pid and self.healthy(), seconds)

    def wait_until(self, condition: Any, seconds: float = READY_SECONDS) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"waited {seconds} s in vain; it printed:\n{self.output()}"
            time.sleep(0.05)

    def healthy(self) -> bool:
        return self.get("/healthz")[0] == 200

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON; status 0 if nothing answers."""
        try:
            with DIRECT.open(self.base_url + path, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, json.loads(exc.read() or b"null")
        except (OSError, ValueError):
            return 0, None


def alive(pid: int) -> bool:
    return start_time(pid) is not None
