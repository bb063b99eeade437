"""The processes of a local run, and the order in which they start and stop."""

import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.local.config import LOOPBACK, ROOT, LocalConfig

LISTENER = ("--worker-class", "infra.local.listener.Listener")  # for the engine, whose own configuration is for AWS too


@dataclass(frozen=True)
class Program:
    """One process that supervisord keeps running. Processes stop in the reverse of the starting order."""

    name: str
    command: tuple[str, ...]
    stop_seconds: int
    """Seconds from SIGTERM to SIGKILL."""


def gunicorn(config: Path, app: str, *extra: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "gunicorn", "--config", str(config), *extra, app)


def programs(config: LocalConfig, store_binary: Path, store_port: int | None) -> list[Program]:
    """The store starts first and stops last, because the others use it. `store_port`: None for an external store."""
    local, engine = ROOT / "infra" / "local", ROOT / "functions" / "inference"
    listen = ("serve", "--host", LOOPBACK, "--port", str(store_port))
    store = Program("store", (str(store_binary), *listen, "--db-path", str(config.data_dir / "store.db")), 5)
    return [
        *([store] if store_port else []),
        Program(
            "inference",
            gunicorn(engine / "gunicorn.conf.py", "functions.inference.app:create_app()", *LISTENER),
            stop_seconds=15,
        ),
        Program("schedule", (sys.executable, "-m", "infra.local.schedule"), stop_seconds=10),
        Program("relay", (sys.executable, "-m", "infra.local.relay"), stop_seconds=10),
        Program("ingestion", (sys.executable, "-m", "infra.local.ingestion"), stop_seconds=10),
        Program("app", gunicorn(local / "gunicorn.conf.py", "infra.local.app:create_app()"), stop_seconds=10),
    ]


def stop_signal_of_orphan(name: str) -> int:
    """The signal the kernel sends when the supervisor ends. SIGKILL is safe for the store: it commits every write."""
    return int(signal.SIGKILL if name == "store" else signal.SIGTERM)


def stopping_order(started: Iterable[Program]) -> list[str]:
    return [program.name for program in reversed(list(started))]
