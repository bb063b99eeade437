"""The data directory: private, and used by one run at a time."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from infra.local.errors import LaunchError
from infra.local.holder import Holder
from infra.place import UP

LONGEST_SOCKET_PATH_BYTES = 90  # the kernel allows 104 to 108, and supervisord adds a suffix
LONGEST_SOCKET_NAME = "supervisor.sock"
LAST_BACKUP = "last-backup"
"""A file that says where the last good backup is. Its time is the file's."""


class DataDir:
    """Created with mode 0700, and locked until the process ends for any reason."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run = path / "run"
        self.logs = path / "logs"
        self._lock: int | None = None

    def take(self) -> None:
        """Create and lock it. Raises LaunchError when it is not writable, not a directory, or in use."""
        try:
            for folder in (self.path, self.run, self.logs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sockets().mkdir(mode=0o700, exist_ok=True)
            self.path.chmod(0o700)
            self._lock = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise LaunchError(
                f"the data directory {self.path} cannot be used: {exc.strerror} ({exc.filename})."
            ) from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note = os.read(self._lock, 200).decode(errors="replace").strip()
            who = f" ({Holder.read(note) or note})" if note else ""
            raise LaunchError(
                f"another `sluice up` runs on {self.path}{who}. "
                f"Stop it, or give this one its own: SLUICE_DATA_DIR=/another/folder PORT=8090 {UP}"
            ) from None
        except OSError as exc:
            raise LaunchError(f"{self.path} cannot be locked: {exc.strerror}.") from exc

    def holder(self) -> str | None:
        """What `note` wrote of the run that has the lock; None if there is none."""
        try:
            with (self.run / "lock").open("rb") as held:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return (self.run / "lock").read_text(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            pass
        return None

    def note(self, text: str) -> None:
        """Write who holds the lock, for the error message of a second run."""
        assert self._lock is not None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, text.encode(), 0)

    def empty_folder(self, name: str) -> None:
        """Create an empty folder for this run. The files of the last run are deleted."""
        folder = self.run / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)

    def socket(self, name: str) -> Path:
        """The path of a process's Unix socket."""
        return self._sockets() / f"{name}.sock"

    def leave(self) -> None:
        """Remove the folder of the sockets if it is not in this directory."""
        if self._sockets() != self.run:
            shutil.rmtree(self._sockets(), ignore_errors=True)

    def _sockets(self) -> Path:
        """In this directory, or in /tmp when the paths would be too long for sockets. Errors: LaunchError."""
        if len(os.fsencode(self.run / LONGEST_SOCKET_NAME)) <= LONGEST_SOCKET_PATH_BYTES:
            return self.run
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"sluice-{os.getuid()}-{digest}"
        with suppress(FileNotFoundError):
            if folder.lstat().st_uid != os.getuid() or folder.is_symlink():
                raise LaunchError(f"{folder} belongs to another user; set TMPDIR to a folder of your own.")
        return folder
