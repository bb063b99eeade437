"""A machine of its own for a test: Debian's real systemd in namespaces, over a copy-on-write view of this disk.

It has no network, and everything that it writes is gone with it. The wheel is installed in /opt/sluice, with its Python
in /opt/python, because a service sees neither /root nor /home, where a developer's Python often is.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from infra import place
from infra.local.processes import die_with_parent
from infra.setup import store

SYSTEMD = Path("/lib/systemd/systemd")
BOOT_SECONDS = 180.0
NOT_OF_A_CONTAINER = (
    "systemd-udevd systemd-udev-trigger systemd-modules-load systemd-sysctl systemd-logind systemd-networkd "
    "systemd-timesyncd systemd-resolved systemd-remount-fs apt-daily apt-daily-upgrade networking"
)
BOOT = f"""\
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs $ROOM
mkdir $ROOM/upper $ROOM/work $ROOM/root
R=$ROOM/root
mount -t overlay overlay -o lowerdir=/,upperdir=$ROOM/upper,workdir=$ROOM/work $R
mount -t proc proc $R/proc
mount -t sysfs -o ro sysfs $R/sys
mount -t cgroup2 cgroup2 $R/sys/fs/cgroup
mount -t tmpfs tmpfs $R/run
mount --rbind /dev $R/dev
mount -o bind,ro $R/proc/sys $R/proc/sys
mkdir -p $R/opt/python $R/opt/packages $R/opt/wheel $R/etc/systemd/system
mount --bind $PYTHON $R/opt/python
mount --bind $PACKAGES $R/opt/packages
mount --bind $WHEEL $R/opt/wheel
mkdir -p $R/var/cache/sluice/$(basename $(dirname $STORE))
cp $STORE $R/var/cache/sluice/$(basename $(dirname $STORE))/
ip link set lo up
for unit in {NOT_OF_A_CONTAINER}; do
    ln -sf /dev/null $R/etc/systemd/system/$unit.service
done
mkdir $R/.old
cd $R
pivot_root . .old
umount -l /.old
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin {SYSTEMD} --system --unit=basic.target \
    --log-target=journal --show-status=no
"""


def why_not() -> str:
    """Why a test cannot have such a machine here; "" if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "it takes root and Linux"
    if not SYSTEMD.exists():
        return "systemd is not installed"
    if missing := [name for name in ("unshare", "nsenter", "ip", "systemd-sysusers") if shutil.which(name) is None]:
        return f"there is no {missing[0]}"
    tried = subprocess.run(["unshare", "-pmCuinf", "--mount-proc", "true"], capture_output=True, text=True)
    return f"namespaces are refused: {tried.stderr.strip()}" if tried.returncode or not _cgroups() else ""


class Machine:
    def __init__(self, folder: Path, wheel: Path) -> None:
        self._folder, self._wheel = folder, wheel
        self._room, self._cgroup = folder / "room", _cgroups() / f"sluice-test-{os.getpid()}"
        self._outer: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def boot(self) -> None:
        """Returns when systemd has reached its basic target and the wheel is installed."""
        self._room.mkdir(exist_ok=True)
        self._cgroup.mkdir(exist_ok=True)
        (own,) = {
            path for path in map(Path, sys.path) if path.name == "site-packages" and (path / "llama_cpp").is_dir()
        }
        given = {
            "ROOM": str(self._room), "PYTHON": sys.base_prefix, "PACKAGES": str(own), "WHEEL": str(self._wheel.parent),
            "STORE": str(store.binary(place.tools())),
        }  # fmt: skip
        with (self._folder / "boot").open("wb") as log:
            self._outer = subprocess.Popen(
                ["unshare", "-pmCuinf", "--kill-child", "sh", "-c", BOOT],
                env=os.environ | given,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=self._enter,
            )
        until = time.monotonic() + BOOT_SECONDS
        while not self._booted():
            assert self._outer.poll() is None and time.monotonic() < until, (self._folder / "boot").read_text()
            time.sleep(0.1)
        python = next(Path(sys.base_prefix, "bin").glob(f"python3.{sys.version_info.minor}"))
        self.ok(f"/opt/python/bin/{python.name}", "-m", "venv", "--without-pip", "/opt/sluice")
        (site,) = Path(f"/proc/{self._pid}/root/opt/sluice/lib").glob("python3*/site-packages")
        (site / "packages-of-the-tests.pth").write_text("/opt/packages\n")
        install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", f"/opt/wheel/{self._wheel.name}")
        self.ok("/opt/sluice/bin/python", *install)

    def _enter(self) -> None:
        """In the new process: its group, and its end with this one, however that ends."""
        die_with_parent(signal.SIGKILL)
        (self._cgroup / "cgroup.procs").write_text(str(os.getpid()))

    def _booted(self) -> bool:
        assert self._outer is not None
        with suppress(OSError, ValueError, IndexError):  # it has just begun
            pid = self._outer.pid
            self._pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
            if Path(f"/proc/{self._pid}/exe").resolve().name == "systemd":
                return self.run("systemctl", "is-active", "basic.target").stdout.strip() == "active"
        return False

    def run(self, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        inside = ["nsenter", "--target", str(self._pid), "-m", "-p", "-C", "-u", "-i", "-n", "--root", "--wd"]
        bare = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"} | more
        return subprocess.run([*inside, *words], env=bare, capture_output=True, text=True, timeout=180)

    def ok(self, *words: str, **more: str) -> str:
        """What it printed. Fails unless it ended with 0."""
        done = self.run(*words, **more)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def sluice(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.run("/opt/sluice/bin/sluice", *words)

    def path(self, name: str) -> Path:
        """A file of the machine, as this side sees it."""
        return Path(f"/proc/{self._pid}/root{name}")

    def discard(self) -> None:
        if self._outer is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid or self._outer.pid, signal.SIGKILL)  # of PID 1 there: all others end with it
            self._outer.kill()
            self._outer.wait()
        until = time.monotonic() + BOOT_SECONDS
        while self._cgroup.is_dir() and time.monotonic() < until:  # its last processes are just ending
            for folder, _, _ in os.walk(self._cgroup, topdown=False):
                with suppress(OSError):
                    os.rmdir(folder)
            time.sleep(0.05)


def _cgroups() -> Path:
    """Where the second version of control groups is; a path that is false if it is nowhere."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return next((Path(words[1]) for words in mounts if words[2] == "cgroup2"), Path())


def wait_until(condition: Callable[[], bool], seconds: float = BOOT_SECONDS) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds} s in vain"
        time.sleep(0.2)
