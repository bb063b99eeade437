"""`sluice up`: starts every process, reports when the system is ready, watches it, and stops it in order."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from infra.local import config, gate, ports, processes, sluice_toml, supervision, tables_ready
from infra.local.datadir import DataDir
from infra.local.errors import LaunchError
from infra.local.holder import BEGIN_AGAIN, Holder
from infra.local.logs import LogMarks
from infra.local.notify import Notify
from infra.local.programs import EVERY, OPEN, Program, programs, stopping_order, store_binary, store_command, why_open
from infra.local.stop_signals import StopSignals
from infra.local.store_address import BY_SOCKET
from infra.local.store_room import STORE

START_SECONDS = 300.0
LEFTOVER_PATIENCE_SECONDS = 20.0
STOP_PATIENCE_SECONDS = 60.0
SECOND_SIGNAL_SECONDS = 1.0
SUPERVISOR_RESTARTS = 3
SUPERVISOR_RESTARTS_WINDOW_SECONDS = 60.0
WATCH_EVERY_SECONDS = 1.0
OWN_FILES = (
    "the store may be shared, but documents, background streams and kept answers are of this machine alone: with a "
    "second machine set SLUICE_DOCUMENTS_BUCKET (docs/local.md, Two machines)"
)


class Upgrading(Protocol):
    """`infra.upgrading.Upgrade`, which imports this package."""

    def begin(self) -> bool: ...

    def accept(self) -> None: ...

    def fail(self, why: str) -> str: ...


class _Stop(Exception):
    """A signal requested a stop."""


class Launcher:
    """One run. The configuration is checked before any process starts."""

    def __init__(self, upgrading: Callable[[Path, str, Callable[[str], None]], Upgrading]) -> None:
        """`upgrading`: of a data directory, the tables' prefix and what is said meanwhile."""
        self._began_with = dict(os.environ)
        self._notify = Notify()
        self._config = config.read()
        self._data = DataDir(self._config.data_dir)
        self._programs: list[Program] = []
        self._environment: dict[str, str] = {}
        self._again = False
        self._upgrade = upgrading(self._config.data_dir, _table_prefix(), self._say)
        self._supervisord: subprocess.Popen[bytes] | None = None
        self._owners = _owners_file()
        self._engine = _engine_variables(self._owners)

    def run(self) -> None:
        """Run until a signal. Returns after an orderly stop. Raises LaunchError."""
        began = time.monotonic()
        os.umask(0o077)
        self._data.take()
        self._signals = StopSignals(signal.SIGHUP)
        signal.signal(BEGIN_AGAIN, self._stop_and_begin_again)
        self._data.note(Holder.of(self._config.url).note())  # whoever reads it may send that signal
        self._stop_leftovers()
        ports.require_free(self._config.host, self._config.port)
        try:
            self._start()
            report = self._wait_ready()
            self._open()
            self._greet(report, time.monotonic() - began)
            self._watch()
        except _Stop:
            self._say("stopping")
        except LaunchError as exc:
            self._stop()
            raise LaunchError(self._upgrade.fail(str(exc))) from exc
        finally:
            if not self._again:  # to a service manager an upgrade is no end
                self._notify("STOPPING=1")
            with gate.closed_port(self._config.host, self._config.port) if self._again else nullcontext():
                self._stop()
            self._data.leave()
        self._say("stopped")
        if self._again:
            signal.signal(BEGIN_AGAIN, signal.SIG_IGN)  # a second one must not end the process that begins
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], self._began_with)

    def _stop_and_begin_again(self, number: int, frame: FrameType | None) -> None:
        """`sluice upgrade` asks for it: the same process executes the code that is installed now."""
        if not self._again:  # a second signal to stop means haste
            self._again = True
            signal.raise_signal(signal.SIGTERM)

    def _pause(self, seconds: float) -> None:
        if self._signals.wait(seconds):
            raise _Stop

    # --- starting

    def _start(self) -> None:
        from sluice.adapters.tokens.keys import ensure_keys

        embedded = self._config.store_url is None
        inside, command = self._inside()
        store_url = inside.store_url
        self._programs = programs(command, with_engine=_has_engine(self._owners))
        self._environment = config.child_environment(self._config, inside) | self._engine
        os.environ.update(self._environment)
        self._data.empty_folder("metrics")
        try:
            ensure_keys(self._config.data_dir)
        except (OSError, ValueError) as exc:
            raise LaunchError(f"the keys cannot be used: {exc}") from exc
        self._marks = LogMarks(self._data.logs, [program.name for program in self._programs])
        if embedded:
            tables_ready.refuse_newer(self._config.data_dir)
            self._bring_up_to_date()
        else:
            self._ensure_tables(store_url, embedded)
        self._start_supervisord()
        self._check_settings()
        if embedded:
            self._ensure_tables(store_url, embedded)
        if self._owners is not None:
            self._apply_owners(*self._owners)

    def _bring_up_to_date(self) -> None:
        """Close the gate while the store is brought to this version, and until this version is healthy on it."""
        closed = self._data.run / gate.CLOSED
        closed.touch()
        with gate.closed_port(self._config.host, self._config.port):
            on_trial = self._upgrade.begin()
        if not on_trial:
            closed.unlink()

    def _open(self) -> None:
        if self._config.store_url is None:
            self._upgrade.accept()
        (self._data.run / gate.CLOSED).unlink(missing_ok=True)

    def _inside(self) -> tuple[config.Inside, tuple[str, ...] | None]:
        """Where this run's processes find each other, and the command of the store unless it is an external one."""
        engine, socket = self._data.socket("inference"), self._data.socket("store")
        socket.unlink(missing_ok=True)  # commands on this machine would take an old one for this run's
        if self._config.store_url:
            return config.Inside(self._config.store_url, None, engine), None
        binary, database = self._store_binary(), self._config.data_dir / "store.db"
        reason = why_open()
        if not reason:
            return config.Inside(BY_SOCKET, socket, engine), store_command(binary, database, STORE[1], socket)
        self._say(OPEN.format(reason=reason))
        port = ports.free()
        url = f"http://{config.LOOPBACK}:{port}"
        return config.Inside(url, None, engine), store_command(binary, database, port, None)

    def _store_binary(self) -> Path:
        """Raises LaunchError."""
        try:
            return store_binary()
        except LaunchError:
            self._pause(0)  # Ctrl-C ended npm, too
            raise

    def _start_supervisord(self) -> None:
        file = self._data.run / "supervisord.conf"
        file.write_text(supervision.configuration(self._data, self._programs))
        self._data.socket("supervisor").unlink(missing_ok=True)
        self._supervisord = supervision.start(self._data, file, self._environment)
        hurry = threading.Thread(target=supervision.hurry, args=(self._data, self._supervisord, 20.0), daemon=True)
        hurry.start()

    def _check_settings(self) -> None:
        """Check the settings while the processes start. They check them too, but this message is clearer."""
        from infra.local.settings_check import problems

        found = problems()
        if found:
            raise LaunchError("the configuration is wrong:\n" + "\n".join(f"  {line}" for line in found))

    def _ensure_tables(self, store_url: str, embedded: bool) -> None:
        from infra.local import store_index

        tables_ready.ensure(store_url, _table_prefix(), embedded, seconds=20, say=self._say)
        if embedded:
            tables_ready.note(self._config.data_dir)
            store_index.ensure(self._config.data_dir / "store.db")
        else:
            self._share(store_url)

    def _share(self, store_url: str) -> None:
        """Errors: LaunchError if other machines on this store have other keys."""
        from botocore.exceptions import BotoCoreError, ClientError

        from infra.local import same_keys
        from infra.migrations.connection import connect

        prefix = os.environ.get("SLUICE_TABLE_PREFIX", "sluice-")
        try:
            same_keys.check(connect(store_url), prefix, self._config.data_dir)
        except (BotoCoreError, ClientError) as exc:
            raise LaunchError(f"the keys cannot be compared with those of the store at {store_url}: {exc}") from exc
        if not os.environ.get("SLUICE_DOCUMENTS_BUCKET"):
            self._say(OWN_FILES)

    def _apply_owners(self, file: Path, wanted: Any, applied: str) -> None:
        """Put sluice.toml in force if it changed. A file that is not applied leaves in force what was."""
        from sluice.domain.errors import SluiceError

        try:
            for line in sluice_toml.apply(file, wanted, applied, force=False, again=False):
                self._say(line)
        except (sluice_toml.NotApplied, SluiceError) as exc:
            self._say(str(exc))

    def _wait_ready(self) -> dict[str, Any]:
        from infra.local.readiness import Wait

        assert self._supervisord is not None
        supervision.wait_socket(self._data, self._supervisord, seconds=20)
        deadline = float(os.environ.get("SLUICE_START_SECONDS") or START_SECONDS)
        wait = Wait(self._config.url, supervision.Supervisor(self._data), self._marks, deadline)
        while True:
            report = wait.step()
            if report is not None:
                return report
            self._pause(0)
            if self._supervisord.poll() is not None:
                raise LaunchError(f"the supervisor ended; its log: {self._data.logs / 'supervisor.log'}")

    def _greet(self, report: dict[str, Any], seconds: float) -> None:
        from infra.local.model_notes import model_notes
        from infra.local.welcome import ready_lines

        for note in model_notes(os.environ, self._config.data_dir / "models"):
            self._say(note)
        source = "sluice.toml" if self._engine else "SLUICE_MODEL"
        print(ready_lines(self._config, str(report.get("model")), source, seconds), flush=True)
        self._notify("READY=1", f"STATUS=ready at {self._config.url}")

    # --- watching

    def _watch(self) -> None:
        names = [program.name for program in self._programs]
        known = supervision.pids(self._data, names)
        died: deque[float] = deque(maxlen=SUPERVISOR_RESTARTS)
        assert self._supervisord is not None
        while True:
            self._pause(WATCH_EVERY_SECONDS)
            if self._supervisord.poll() is not None:
                self._revive_supervisor(died)
            now = supervision.pids(self._data, names)
            for name, pid in now.items():
                if known.get(name, pid) != pid:
                    self._say(f"{name} ended unexpectedly and was started again (log: {self._marks.path(name)})")
            known |= now

    def _revive_supervisor(self, died: "deque[float]") -> None:
        now = time.monotonic()
        if len(died) == SUPERVISOR_RESTARTS and now - died[0] < SUPERVISOR_RESTARTS_WINDOW_SECONDS:
            raise LaunchError(f"the supervisor keeps ending; its log: {self._data.logs / 'supervisor.log'}")
        died.append(now)
        self._say("the supervisor ended unexpectedly; starting everything again")
        self._stop_children()
        self._start_supervisord()

    # --- stopping

    def _stop_leftovers(self) -> None:
        """Stop the processes of an earlier run whose launcher was killed."""
        found = processes.stop_recorded(self._data.run, EVERY, LEFTOVER_PATIENCE_SECONDS)
        if found:
            self._say(f"stopped the processes of an earlier run: {', '.join(found)}")

    def _stop_children(self) -> None:
        processes.stop_recorded(self._data.run, stopping_order(self._programs), LEFTOVER_PATIENCE_SECONDS)

    def _stop(self) -> None:
        """Stop every process in order. A second signal, SECOND_SIGNAL_SECONDS later or more, kills them all.

        An earlier one is ignored, because the first often arrives twice: sent to the process group, and by make.
        """
        if self._supervisord is None:
            return
        if self._supervisord.poll() is None:
            self._supervisord.terminate()
        began = time.monotonic()
        while self._supervisord.poll() is None and time.monotonic() < began + STOP_PATIENCE_SECONDS:
            try:
                self._pause(0.02)
            except _Stop:
                if time.monotonic() > began + SECOND_SIGNAL_SECONDS:
                    self._say("killing the processes that have not stopped")
                    break
        if self._supervisord.poll() is None:
            self._supervisord.kill()
            self._supervisord.wait()
            processes.stop_recorded(self._data.run, stopping_order(self._programs), patience_seconds=0)
        self._stop_children()  # has an effect only if the supervisor was killed

    def _say(self, text: str) -> None:
        print(f"sluice: {text}", file=sys.stderr, flush=True)


def _table_prefix() -> str:
    return os.environ.get("SLUICE_TABLE_PREFIX") or "sluice-"


def _owners_file() -> tuple[Path, Any, str] | None:
    """sluice.toml, its settings and its hash, if there is one. Raises LaunchError."""
    if (file := sluice_toml.present()) is None:
        return None
    try:
        return file, *sluice_toml.read(file)
    except sluice_toml.NotApplied as exc:
        raise LaunchError(str(exc)) from exc


def _has_engine(owners: tuple[Path, Any, str] | None) -> bool:
    """Whether the bundled engine is one of the model servers."""
    upstreams = owners[1].upstreams if owners else ()
    return not upstreams or any(one.kind == "engine" for one in upstreams)


def _engine_variables(owners: tuple[Path, Any, str] | None) -> dict[str, str]:
    """Of the models that sluice.toml names. Raises LaunchError."""
    if owners is None:
        return {}
    try:
        return sluice_toml.engine_variables(owners[0], owners[1])
    except sluice_toml.NotApplied as exc:
        raise LaunchError(str(exc)) from exc
