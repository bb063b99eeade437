"""The processes of a local run, and the order in which they start and stop."""

import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.local.config import LOOPBACK
from infra.local.errors import LaunchError
from infra.place import ROOT, tools

LOCAL = ROOT / "infra" / "local"
STORE_ROOM = (sys.executable, "-I", "-S", str(LOCAL / "store_room.py"))
OPEN = "the store is not protected from other users of this machine, nor from web pages in its browsers: {reason}"

LISTENER = ("--worker-class", "infra.local.listener.Listener")  # for the engine, whose own configuration is for AWS too

EVERY = ("supervisor", "app", "worker", "ingestion", "relay", "schedule", "inference", "store")
"""The names of all processes that a run may have, in the order in which leftovers are stopped."""


@dataclass(frozen=True)
class Program:
    """One process that supervisord keeps running. Processes stop in the reverse of the starting order."""

    name: str
    command: tuple[str, ...]
    stop_seconds: int
    """Seconds from SIGTERM to SIGKILL."""


def gunicorn(config: Path, app: str, *extra: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "gunicorn", "--config", str(config), *extra, app)


def store_binary() -> Path:
    """Installed now where it is missing, as at the first start of a package. Errors: LaunchError."""
    from infra.setup import console, store

    try:
        return store.install(tools(), Path(sys.executable))
    except console.SetupError as exc:
        raise LaunchError(str(exc)) from exc


def store_command(
    binary: Path, database: Path, port: int, socket: Path | None, host: str = LOOPBACK
) -> tuple[str, ...]:
    """The store on a port of `host`, or with `socket` on one that nobody reaches except by that socket."""
    room = (*STORE_ROOM, str(socket)) if socket else ()
    return (*room, str(binary), "serve", "--host", host, "--port", str(port), "--db-path", str(database))


def why_open() -> str:
    """Why this machine cannot give the store a network namespace of its own; "" if it can."""
    if sys.platform != "linux":
        return "only Linux has network namespaces"
    tried = subprocess.run(STORE_ROOM, capture_output=True, text=True, timeout=30)
    return tried.stderr.strip() if tried.returncode else ""


def programs(store: tuple[str, ...] | None, *, with_engine: bool = True) -> list[Program]:
    """The store starts first and stops last, because the others use it. `store`: its command; None: an external one."""
    conf = ROOT / "functions" / "inference" / "gunicorn.conf.py"
    engine = gunicorn(conf, "functions.inference.app:create_app()", *LISTENER)
    return [
        *([Program("store", store, 5)] if store else []),
        *([Program("inference", engine, stop_seconds=15)] if with_engine else []),
        Program("schedule", (sys.executable, "-m", "infra.local.schedule"), stop_seconds=10),
        Program("relay", (sys.executable, "-m", "infra.local.relay"), stop_seconds=10),
        Program("ingestion", (sys.executable, "-m", "infra.local.ingestion"), stop_seconds=10),
        Program("worker", (sys.executable, "-m", "infra.local.worker"), stop_seconds=10),
        Program("app", gunicorn(LOCAL / "gunicorn.conf.py", "infra.local.app:create_app()"), stop_seconds=10),
    ]


def stop_signal_of_orphan(name: str) -> int:
    """The signal the kernel sends when the supervisor ends. SIGKILL is safe for the store: it commits every write."""
    return int(signal.SIGKILL if name == "store" else signal.SIGTERM)


def stopping_order(started: Iterable[Program]) -> list[str]:
    return [program.name for program in reversed(list(started))]
