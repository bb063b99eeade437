"""The form of a backup: a tar with the content, then `manifest.json`; compressed by gzip, then encrypted by age.

The manifest is written last, because only then everything is known: the hash of each file, what the store holds, and
its version. A reader believes nothing before it has read the manifest and the last byte.
"""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import sluice
from infra.backup.age import CHANGED, MAGIC, Decrypted, Encrypted
from infra.backup.errors import BackupRefused
from infra.migrations.record import Record

FORMAT = 1
STORE, KEYS, DOCUMENTS, MANIFEST = "store.db", "keys", "documents", "manifest.json"
PART = "[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}"
NAME = re.compile(rf"{STORE}|{KEYS}/{PART}|{DOCUMENTS}(/{PART}){{2,9}}")
"""What a backup may hold. No name leads out of a folder."""
MOST_MANIFEST_BYTES = 1 << 30
FAST = 1
"""gzip's level: rows are JSON, and a higher one saves a tenth for three times the processor."""


@dataclass(frozen=True)
class Manifest:
    """`rows`: by table. `ledger`: requests and tokens. `files`: SHA-256 by name. `taken_ms`: the store's moment."""

    schema: int
    table_prefix: str
    taken_ms: int
    rows: Mapping[str, int]
    ledger: Mapping[str, int]
    files: Mapping[str, str] = field(default_factory=dict)
    version: str = sluice.__version__
    format: int = FORMAT

    @staticmethod
    def parse(text: bytes) -> "Manifest":
        """Errors: BackupRefused; NewerStore, if a newer version wrote the store."""
        try:
            told = json.loads(text)
            if told["format"] > FORMAT:
                raise BackupRefused(
                    f"this backup was made by Sluice {told['version']}: use that version or a newer one."
                )
            manifest = Manifest(**told)
            Record(manifest.schema).check()
        except (ValueError, KeyError, TypeError) as exc:
            raise BackupRefused(CHANGED) from exc
        return manifest


class Archive:
    """A backup that is being written."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.files: dict[str, str] = {}

    def add(self, name: str, path: Path) -> None:
        """Errors: FileNotFoundError, if it is gone; OSError."""
        with path.open("rb") as file:
            member = self._tar.gettarinfo(arcname=name, fileobj=file)
            member.mode, member.uid, member.gid, member.uname, member.gname = 0o600, 0, 0, "", ""
            hashed = _Hashed(file)
            self._tar.addfile(member, cast(BinaryIO, hashed))
        self.files[name] = hashed.sha256.hexdigest()

    def end(self, manifest: Manifest) -> None:
        text = json.dumps(asdict(manifest)).encode()
        member = tarfile.TarInfo(MANIFEST)
        member.size, member.mode, member.mtime = len(text), 0o600, manifest.taken_ms // 1000
        self._tar.addfile(member, io.BytesIO(text))


class _Hashed:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self.sha256 = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self.sha256.update(piece)
        return piece


@contextmanager
def written(file: BinaryIO, passphrase: str) -> Iterator[Archive]:
    """`passphrase`: empty for a backup that is not encrypted. `file` stays open."""
    outside = cast(BinaryIO, Encrypted(file, passphrase)) if passphrase else file
    with (
        gzip.GzipFile(fileobj=outside, mode="wb", compresslevel=FAST, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w|", dereference=True) as tar,
    ):
        yield Archive(tar)
    if outside is not file:
        outside.close()


def read(file: BinaryIO, passphrase: Callable[[], str], keep: Callable[[str], Path | None]) -> Manifest:
    """Read all of a backup, and write each file for which `keep` gives a new path. → what it says of itself.

    `passphrase`: asked if it is encrypted. Errors: BackupRefused, NewerStore, OSError (of the disk).
    """
    found: dict[str, str] = {}
    manifest: Manifest | None = None
    try:
        with _unpacked(file, passphrase) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or manifest is not None or member.name in found:
                    raise BackupRefused(CHANGED)
                if member.name == MANIFEST:
                    manifest = Manifest.parse(content.read(MOST_MANIFEST_BYTES))
                else:
                    found[member.name] = _copied(_checked(member.name), content, keep, member.mtime)
            while packed.read(1 << 16):  # up to the last byte, where a cut shows
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise BackupRefused(CHANGED) from exc
    if manifest is None or manifest.files != found or STORE not in found:
        raise BackupRefused(CHANGED)
    return manifest


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BackupRefused(f"it holds {name[:200]!r}, which no backup of Sluice has.")
    return name


def _copied(name: str, content: Any, keep: Callable[[str], Path | None], mtime: float) -> str:
    """→ the SHA-256."""
    hashed, path = _Hashed(content), keep(name)
    if path is None:
        while hashed.read(1 << 16):
            pass
        return hashed.sha256.hexdigest()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        shutil.copyfileobj(hashed, out)
    os.utime(path, (mtime, mtime))  # events of background responses are deleted by their age
    return hashed.sha256.hexdigest()


@contextmanager
def _unpacked(file: BinaryIO, passphrase: Callable[[], str]) -> Iterator[gzip.GzipFile]:
    buffered = io.BufferedReader(cast(io.RawIOBase, file), 1 << 17)
    start = buffered.peek(len(MAGIC))[: len(MAGIC)]
    try:
        if start == MAGIC:
            clear: Any = io.BufferedReader(Decrypted(cast(BinaryIO, buffered), passphrase()), 1 << 17)
        elif start.startswith(b"\x1f\x8b"):
            clear = buffered
        else:
            raise BackupRefused("this is no backup of Sluice.")
        with gzip.GzipFile(fileobj=clear, mode="rb") as packed:
            yield packed
    finally:
        buffered.detach()
