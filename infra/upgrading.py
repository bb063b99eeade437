"""Brings the store of an earlier version to this one, and back if this version does not become healthy on it (ADR 117).

    copy the store ─ migrate the copy ─ compare ─ keep the store under a second name ─ the copy takes its place ─ trial
       trial: every process runs, callers get 503 (infra.local.gate) ─ healthy? ─ accepted, the kept one stays for days
                                                                         └ no ─ the kept one is the store again
The store is whole under its name at every moment, of the earlier version or of this one, so a kill harms nothing. The
next start continues: it prepares another copy, or repeats the trial, or finishes going back. During a trial nothing of
a caller is admitted, so that going back loses nothing.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import sluice
from infra import place
from infra.backup import store_copy
from infra.backup.archive import STORE
from infra.backup.errors import BackupRefused
from infra.backup.restoring import queue_again
from infra.backup.saving import Say, emptied, need_room
from infra.backup.store_copy import StoreCopy
from infra.local import store_alone, tables_ready
from infra.local.errors import LaunchError
from infra.migrations.record import NewerStore
from sluice.adapters.whole_files import sync_folder, write_whole
from sluice.domain.errors import StoreUnavailable

FOLDER = "upgrade"
KEPT = "store-schema-*.db"
KEEP = 2
VERSION_FILE = "sluice.version"
START_SECONDS = 30.0
ALONE_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class Upgrade:
    """Of the embedded store of a data directory that this process has locked."""

    data_dir: Path
    prefix: str
    say: Say

    @property
    def store(self) -> StoreCopy:
        return StoreCopy(self.data_dir / STORE, self.prefix)

    @property
    def folder(self) -> Path:
        return self.data_dir / FOLDER

    @property
    def trial(self) -> Path:
        """There is a trial while this file names the kept store."""
        return self.folder / "trial"

    @property
    def has_ended(self) -> bool:
        """Else the next start may put the kept store in the place of the store."""
        return not self.trial.exists() and not (self.folder / "back").exists()

    @property
    def failure(self) -> Path:
        """Why the last start failed, for `sluice upgrade`."""
        return self.folder / "failed"

    def needed(self) -> bool:
        """Errors: BackupRefused, NewerStore."""
        if not self.store.path.exists() or not self.store.has_table("accounts"):
            return False
        found = self.store.record()
        found.check()
        return not found.is_current

    def begin(self) -> bool:
        """→ whether this start is a trial. Errors: LaunchError; the store is then as it was."""
        try:
            self._finish_going_back()
            if not self.needed():
                return self.trial.exists()
            self._end_older_trial()
            self._upgrade()
        except (BackupRefused, NewerStore) as exc:
            raise LaunchError(str(exc)) from exc
        except OSError as exc:
            raise LaunchError(f"the store was not migrated: {exc.strerror or exc} ({exc.filename}).") from exc
        return True

    def _upgrade(self) -> None:
        scratch = self.folder / "next"
        with emptied(scratch, f"another upgrade of {self.data_dir} is running."):
            fold(self.store.path)
            new = self.rehearse(scratch, self.say)
            now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            kept = self.folder / f"store-schema-{self.store.schema()}-{now}.db"
            write_whole(self.trial, kept.name.encode())  # before the second name, so that a kill leaves none unnamed
            self._keep(kept)
            put(new, self.store.path)

    def rehearse(self, scratch: Path, say: Say) -> Path:
        """Migrate a copy, also of a store that is in use. → the copy. Errors: BackupRefused, LaunchError, OSError."""
        need_room(self.store.path, scratch)
        copied = StoreCopy(scratch / STORE, self.prefix)
        store_copy.copy(self.store.path, copied.path)
        copied.check()
        ledger = copied.ledger()
        with _own_environment(), store_alone.running(copied.path) as url:
            tables_ready.ensure(url, self.prefix, embedded=True, seconds=START_SECONDS, say=say)
        fold(copied.path)
        copied.check()
        if copied.ledger() != ledger:
            raise LaunchError(f"the migrated ledger has {copied.ledger()}, and before it had {ledger}.")
        return copied.path

    def _keep(self, kept: Path) -> None:
        try:
            os.link(self.store.path, kept)
        except OSError:  # not every file system has second names
            draft = self.folder / "next" / "kept"
            shutil.copyfile(self.store.path, draft)
            put(draft, kept)
        os.utime(kept)  # its days begin now

    def _end_older_trial(self) -> None:
        """One that a kill left before the copy took its place, or that another version than this one began."""
        if not self.trial.exists():
            return
        kept = self.folder / self.trial.read_text()
        if kept.is_file() and StoreCopy(kept, self.prefix).record() != self.store.record():
            self._go_back()
        else:
            kept.unlink(missing_ok=True)
            self.trial.unlink()

    def accept(self) -> None:
        """This version is healthy: its store is the store from here on."""
        for file in (self.trial, self.failure):
            file.unlink(missing_ok=True)
        for old in self.kept()[KEEP:]:
            old.unlink(missing_ok=True)
        if self._version_before() != sluice.__version__:
            write_whole(self.data_dir / VERSION_FILE, sluice.__version__.encode())

    def kept(self) -> list[Path]:
        """Stores of earlier versions, the newest first."""
        return sorted(self.folder.glob(KEPT), key=lambda path: path.name.rpartition("-")[2], reverse=True)

    def fail(self, why: str) -> str:
        """A start failed and every process has ended. End the trial, if it was one. → what to tell."""
        if self.trial.exists():
            try:
                self._go_back()
                back = f"is again as it was before the upgrade (schema {self.store.schema()})"
            except (OSError, BackupRefused, StoreUnavailable) as exc:
                back = f"is put back by the next start, because now it failed: {exc}"
            why += f"\nThe store {back}. No caller's request was admitted meanwhile. Start again, or {self.way_back()}."
        elif self._version_before() not in ("", sluice.__version__):
            why += f"\nIf this version is the cause, {self.way_back()}."
        with suppress(OSError):  # a full disk must not hide the reason
            write_whole(self.failure, why.encode())
        return why

    def way_back(self) -> str:
        return f"install the version before, and start that: {place.install(self._version_before() or 'VERSION')}"

    def _version_before(self) -> str:
        """The last that was healthy here; empty if that was 0.2.0 or earlier."""
        file = self.data_dir / VERSION_FILE
        return file.read_text() if file.exists() else ""

    def back(self, kept: Path) -> None:
        """Of a store that was accepted. Everything since is lost. Errors: BackupRefused, OSError."""
        if StoreCopy(kept, self.prefix).record() == self.store.record():
            raise BackupRefused(f"{kept} is of the same version as the store.")
        write_whole(self.trial, kept.name.encode())
        self._go_back()

    def _go_back(self) -> None:
        os.replace(self.trial, self.folder / "back")
        self._finish_going_back()

    def _finish_going_back(self) -> None:
        """Positions in streams go, because later ones than the store's would skip events; and messages of background
        responses come again, because this version may have executed some."""
        marker = self.folder / "back"
        if not marker.exists():
            return
        kept = StoreCopy(self.folder / marker.read_text(), self.prefix)
        if kept.path.is_file():  # else it is back already, and a kill left the marker
            beside = (self.data_dir / f"{STORE}{end}" for end in ("-wal", "-shm"))
            for stale in (*(self.data_dir / "relay").glob("*.json"), *beside):
                stale.unlink(missing_ok=True)
            queue_again(self.data_dir, kept)
            tables_ready.note(self.data_dir, kept.schema())
            put(kept.path, self.store.path)
        marker.unlink()


def fold(database: Path) -> None:
    """Put what is in the files beside it into the one file. Waits for a backup that copies it: SQLite does not, here.

    Errors: BackupRefused if another process uses it longer."""
    until = time.monotonic() + ALONE_SECONDS
    while True:
        try:
            with closing(sqlite3.connect(database)) as connection:
                (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
            break
        except sqlite3.Error as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise BackupRefused(f"{database} cannot be used alone: {exc}") from exc
            time.sleep(LOOK_EVERY_SECONDS)
    if mode != "delete":
        raise BackupRefused(f"{database} cannot be used alone: its mode stays {mode}")


def put(new: Path, target: Path) -> None:
    """On disk first, so that the name never leads to less than the whole file."""
    descriptor = os.open(new, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(new, target)
    sync_folder(target.parent)


@contextmanager
def _own_environment() -> Iterator[None]:
    """`store_alone` leads this process to its store, from where it has to return."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
