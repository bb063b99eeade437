"""What the disturbances need of the machine: a disk whose size can change, a clock that can be moved."""

import os
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

CLOCK_SOURCE = Path(__file__).with_name("clock.c")
IN_NAMESPACE = "SOAK_IN_NAMESPACE"
MIB = 1 << 20
SPARE_BYTES = 256 * 1024
IMPOSSIBLE = 2
"""The exit status where the machine cannot do this."""


def enter_mount_namespace() -> None:
    """Runs this program again where it may mount file systems that nobody else sees. Raises OSError, SystemExit."""
    if os.environ.get(IN_NAMESPACE):
        return
    rights = ["--map-root-user"] if os.geteuid() else []
    unshare = ["unshare", "--mount", *rights]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        print("soak: this machine allows no mount namespace (unshare --mount), so there is no disk to fill")
        sys.exit(IMPOSSIBLE)
    os.environ[IN_NAMESPACE] = "1"
    os.execvp("unshare", [*unshare, sys.executable, "-m", "benchmarks.soak", *sys.argv[1:]])


class Disk:
    """A tmpfs at `folder`, seen by this process and its children only. It is full when its size is what it holds."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        self.folder, self._size_mib = folder, size_mib
        self._ballast = folder / "ballast"
        _run("mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=700", "soak", str(folder))

    def fill(self) -> None:
        """The size becomes what is held now and a little, because others write; a file takes the rest."""
        _run("mount", "-o", f"remount,size={self._held_bytes() + SPARE_BYTES}", str(self.folder))
        with suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        _run("mount", "-o", f"remount,size={self._size_mib}m", str(self.folder))
        self._ballast.unlink()

    def used_mib(self) -> int:
        return self._held_bytes() // MIB

    def _held_bytes(self) -> int:
        used = os.statvfs(self.folder)
        return (used.f_blocks - used.f_bfree) * used.f_frsize

    def unmount(self) -> None:
        """It would go with this process, but its folder is to be removed before."""
        _run("umount", "--lazy", str(self.folder))


class Clock:
    """The wall clock of the system's processes. `environment` goes to them."""

    def __init__(self, folder: Path) -> None:
        library, self._offset = folder / "clock.so", folder / "clock"
        _run("cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(CLOCK_SOURCE))
        self._offset.write_bytes(struct.pack("l", 0))
        self.environment = {"LD_PRELOAD": str(library), "SOAK_CLOCK": str(self._offset)}

    def step_to(self, seconds: int) -> None:
        """`seconds`: from the machine's clock."""
        with self._offset.open("r+b") as file:
            file.write(struct.pack("l", seconds))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
