"""supervisord: its configuration, its start, and the states of its processes."""

import http.client
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local import processes
from infra.local.datadir import DataDir
from infra.local.errors import LaunchError
from infra.local.programs import Program, stop_signal_of_orphan
from infra.place import ROOT

DEAD_STATES = frozenset({"BACKOFF", "EXITED", "FATAL"})
LOG_BYTES = 10 * 1024 * 1024
LOG_BACKUPS = 3
FIRST_PRIORITY = 100


@dataclass(frozen=True)
class ChildState:
    name: str
    state: str
    pid: int


def configuration(data: DataDir, programs: Iterable[Program]) -> str:
    """supervisord's configuration file. `infra.local.config` refuses paths that the format cannot contain."""
    head = f"""\
; written by `sluice up` at every start
[supervisord]
nodaemon=true
silent=true
logfile={data.logs / "supervisor.log"}
logfile_maxbytes={LOG_BYTES}
logfile_backups=1
pidfile={data.run / "supervisord.pidfile"}
directory={ROOT}
childlogdir={data.logs}

[unix_http_server]
file={data.socket("supervisor")}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
    return "\n".join([head, *(_section(data, program, place) for place, program in enumerate(programs))])


def _section(data: DataDir, program: Program, place: int) -> str:
    command = [*_wrapper(data, program.name, stop_signal_of_orphan(program.name)), *program.command]
    return f"""\
[program:{program.name}]
command={shlex.join(command)}
priority={FIRST_PRIORITY + place}
autorestart=true
startsecs=1
startretries=1000000
stopwaitsecs={program.stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile={data.logs / f"{program.name}.log"}
stdout_logfile_maxbytes={LOG_BYTES}
stdout_logfile_backups={LOG_BACKUPS}
"""


def _wrapper(data: DataDir, name: str, stop_signal: int) -> list[str]:
    child = str(ROOT / "infra" / "local" / "child.py")
    return [sys.executable, "-I", "-S", child, str(data.run), name, str(int(stop_signal))]


def start(data: DataDir, config_file: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start supervisord in its own session, so that Ctrl-C reaches the launcher only, which stops it in order."""
    supervisord = [sys.executable, "-m", "infra.local.supervisord", "--configuration", str(config_file)]
    output = (data.logs / "supervisor.out").open("wb")
    with output:
        return subprocess.Popen(
            [*_wrapper(data, "supervisor", signal.SIGTERM), *supervisord],
            env=dict(environment),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Supervisor:
    """Client of a running supervisord."""

    def __init__(self, data: DataDir) -> None:
        from supervisor.xmlrpc import SupervisorTransport

        self._transport: Any = SupervisorTransport(serverurl=f"unix://{data.socket('supervisor')}")
        self._server = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=self._transport)

    def states(self) -> list[ChildState]:
        """The state of each process; empty while supervisord does not answer."""
        try:
            infos: Any = self._server.supervisor.getAllProcessInfo()
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            self._transport.close()
            return []
        return [ChildState(one["name"], one["statename"], one["pid"]) for one in infos]


def hurry(data: DataDir, process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Send a request as soon as supervisord listens, because its loop otherwise sleeps 1 s before the first start."""
    try:
        wait_socket(data, process, seconds)
    except LaunchError:
        return  # the launcher reports it
    Supervisor(data).states()


def wait_socket(data: DataDir, process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait until supervisord listens. Raises LaunchError when it ends or after `seconds`."""
    until = time.monotonic() + seconds
    while not data.socket("supervisor").exists():
        if process.poll() is not None or time.monotonic() > until:
            printed = (data.logs / "supervisor.out").read_text(errors="replace").strip() or "it printed nothing"
            raise LaunchError(f"the supervisor did not start: {printed}")
        time.sleep(0.01)


def pids(data: DataDir, names: Iterable[str]) -> dict[str, int]:
    """The pids of the recorded processes that run, by name."""
    found = {name: processes.recorded(data.run, name) for name in names}
    return {name: pid for name, pid in found.items() if pid is not None}
