"""Saves the data directory of one machine, also while it runs.

    keys ─ documents ─ the store, at one moment ─ documents that came meanwhile ─ indexes ─ manifest
A row of the store names its document. One that was uploaded during the first pass is found by the second; one that was
deleted after the first pass is there, too. What no row names is left out by `restoring`.

Left out: queues (`restoring` and the sweepers make them again from the rows), positions in streams (a later one would
skip events of an earlier store), mails of the outbox, models, logs, and what belongs to the running processes.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from infra.backup import archive, store_copy
from infra.backup.archive import DOCUMENTS, KEYS, STORE, Archive, Manifest
from infra.backup.errors import BackupRefused
from infra.backup.places import Place
from infra.backup.store_copy import StoreCopy
from infra.local.datadir import LAST_BACKUP
from sluice.adapters.whole_files import write_whole
from sluice.domain.documents.keys import CHANGES, INDEX

PART = re.compile(archive.PART)
DRAFT = ".part"  # of a file that is just being written (sluice.adapters.whole_files)
SPARE_DISK_BYTES = 256 << 20
THEIR_KEYS = (
    "the machines that share this store have other keys than this folder. Save those, too, and the bucket: without them"
    " no API token of this backup is valid (docs/local.md, Two machines)."
)
Say = Callable[[str], None]


def back_up(data_dir: Path, prefix: str, place: Place, passphrase: str, say: Say) -> tuple[str, Manifest]:
    """Make one backup, and read it back from where it now lies. → its name.

    `passphrase`: empty for none. Errors: BackupRefused, NewerStore, OSError; no backup is left then.
    """
    with alone(data_dir) as scratch:
        need_room(data_dir / STORE, scratch)
        began = datetime.now(UTC)
        name = f"sluice-backup-{began:%Y%m%dT%H%M%SZ}.tar.gz" + (".age" if passphrase else "")
        draft = place.draft(name, scratch)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:
                manifest = save(data_dir, prefix, scratch, file, passphrase, say)
                file.flush()
                os.fsync(file.fileno())
            place.put(draft, name, lambda written: _verify(written, passphrase, scratch, manifest))
        finally:
            draft.unlink(missing_ok=True)
    with suppress(OSError):  # the backup is good, whether or not the full disk has room for this
        write_whole(data_dir / LAST_BACKUP, f"{place.where(name)}\n".encode())
    say(f"wrote {place.where(name)} and read it back: {manifest.ledger['requests']} requests in the ledger")
    return name, manifest


def delete_older(place: Place, name: str, keep: int, say: Say) -> None:
    """Keep this backup and the newest others, `keep` in all. Errors: BackupRefused, OSError."""
    others = [other for other in place.names() if other != name]  # a clock that was wrong may have named them later
    for old in others[: max(0, len(others) - keep + 1)]:
        place.delete(old)
        say(f"deleted {place.where(old)}")


def save(data_dir: Path, prefix: str, scratch: Path, file: BinaryIO, passphrase: str, say: Say) -> Manifest:
    with archive.written(file, passphrase) as made:
        for path in sorted((data_dir / KEYS).glob("*")):
            if path.is_file() and PART.fullmatch(path.name) and path.suffix != DRAFT:
                made.add(f"{KEYS}/{path.name}", path)
        _add_documents(made, data_dir)
        copied = StoreCopy(scratch / STORE, prefix)
        taken_ms = time.time_ns() // 1_000_000
        store_copy.copy(data_dir / STORE, copied.path)
        if (theirs := copied.keys()) and theirs != _fingerprint(data_dir):
            say(THEIR_KEYS)
        made.add(STORE, copied.path)
        _add_documents(made, data_dir)
        _add_indexes(made, data_dir / DOCUMENTS, scratch, say)
        manifest = Manifest(copied.schema(), prefix, taken_ms, copied.rows(), copied.ledger(), made.files)
        copied.path.unlink()
        made.end(manifest)
    return manifest


def _fingerprint(data_dir: Path) -> str:
    """Empty without keys."""
    from infra.local import same_keys

    try:
        return same_keys.fingerprint(data_dir / KEYS)
    except (OSError, ValueError):
        return ""


def _add_documents(made: Archive, data_dir: Path) -> None:
    """Those that are not in it yet. They are written whole under their names, and most never change."""
    for kind in sorted((data_dir / DOCUMENTS).glob("*")):
        if kind.name in (INDEX, CHANGES):
            continue
        for path in sorted(kind.rglob("*")):
            name = str(path.relative_to(data_dir))
            if name not in made.files and archive.NAME.fullmatch(name) and path.suffix != DRAFT and path.is_file():
                with suppress(FileNotFoundError):  # its owner has deleted it
                    made.add(name, path)


def _add_indexes(made: Archive, documents: Path, scratch: Path, say: Say) -> None:
    """Copies like that of the store. A damaged one is left out, because it can be made again."""
    for path in sorted((documents / INDEX).glob("*/*.db")):
        copied = scratch / "index.db"
        try:
            store_copy.copy(path, copied)
            made.add(f"{DOCUMENTS}/{path.relative_to(documents)}", copied)
        except FileNotFoundError:
            continue
        except BackupRefused as exc:
            say(f"left out an index, which can be made again: {exc}")
        finally:
            copied.unlink(missing_ok=True)


def _verify(file: BinaryIO, passphrase: str, scratch: Path, wrote: Manifest) -> None:
    copied = StoreCopy(scratch / "read-back.db", wrote.table_prefix)
    copied.path.unlink(missing_ok=True)
    if archive.read(file, lambda: passphrase, lambda name: copied.path if name == STORE else None) != wrote:
        raise BackupRefused("what was read back is another backup than the one just written.")
    check_store(copied, wrote)


def check_store(copied: StoreCopy, wrote: Manifest) -> None:
    """Errors: BackupRefused."""
    copied.check()
    if (copied.rows(), copied.ledger(), copied.schema()) != (wrote.rows, wrote.ledger, wrote.schema):
        raise BackupRefused("the store in the backup holds other rows than its manifest says.")


def need_room(store: Path, scratch: Path) -> None:
    """A disk that a copy fills would stop the running system. Errors: BackupRefused."""
    need, free = store.stat().st_size + SPARE_DISK_BYTES, shutil.disk_usage(scratch).free
    if free < need:
        raise BackupRefused(f"a copy of the store needs {need >> 20} MiB beside it, and the disk has {free >> 20} MiB.")


@contextmanager
def alone(data_dir: Path) -> Iterator[Path]:
    """An empty folder for copies, and one backup at a time. A killed one's copies are deleted by the next."""
    if not (data_dir / STORE).is_file():
        raise BackupRefused(f"{data_dir} holds no store. Set SLUICE_DATA_DIR to the folder that `make up` names.")
    scratch = data_dir / "run" / "backup"
    with emptied(scratch, f"another backup of {data_dir} is being made, or an upgrade is checked."):
        try:
            yield scratch
        finally:
            empty(scratch)


@contextmanager
def emptied(folder: Path, refusal: str) -> Iterator[None]:
    """Makes the folder, or empties what a killed process left there. Errors: BackupRefused, if another one holds it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupRefused(refusal) from None
        empty(folder)
        yield
    finally:
        os.close(lock)


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
