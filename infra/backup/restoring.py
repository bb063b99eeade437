"""Makes a data directory of a backup, beside its place, and renames it when it is whole and of this version."""

import errno
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from infra.backup import archive
from infra.backup.archive import DOCUMENTS, STORE, Manifest
from infra.backup.errors import BackupRefused
from infra.backup.saving import check_store, emptied, empty
from infra.backup.store_copy import StoreCopy
from infra.local import store_alone, tables_ready
from sluice.adapters.runs.queue import BATCH_SPOOL, SPOOL
from sluice.adapters.whole_files import sync_folder
from sluice.domain.documents.keys import FILES, NOBODY, TEXTS, VECTORS

Say = Callable[[str], None]
START_SECONDS = 30.0
AWAY = "Move it away, or restore into another folder: SLUICE_DATA_DIR=/another/folder"


@dataclass(frozen=True)
class Ended:
    """What a restored system does not let live on, because it cannot know what was ended after the backup."""

    tokens: bool = False
    sessions: bool = False


def restore(
    file: BinaryIO, target: Path, prefix: str, passphrase: Callable[[], str], ended: Ended, say: Say
) -> Manifest:
    """`target`: the data directory, which is missing or empty. Errors: BackupRefused, NewerStore, LaunchError, OSError;
    the target is then as it was."""
    target = target.resolve()
    refuse_used(target)
    draft = target.with_name(target.name + ".restoring")
    with emptied(draft, f"another restore into {target} is running."):
        try:
            draft.chmod(0o700)
            manifest = _filled(draft, file, prefix, passphrase, ended, say)
            _put(draft, target)
        except BaseException:
            with suppress(OSError):
                empty(draft)
                draft.rmdir()
            raise
    return manifest


def refuse_used(target: Path) -> None:
    """Errors: BackupRefused."""
    try:
        with (target / "run" / "lock").open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BackupRefused(f"Sluice runs on {target}. Stop it first. {AWAY}") from None
    except (FileNotFoundError, NotADirectoryError):
        pass
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise BackupRefused(f"{target} is not empty, and nothing in it is overwritten. {AWAY}")
    if target.is_mount():
        raise BackupRefused(f"{target} is a disk of its own, so that a folder cannot take its place. {AWAY}")


def _filled(
    draft: Path, file: BinaryIO, prefix: str, passphrase: Callable[[], str], ended: Ended, say: Say
) -> Manifest:
    manifest = archive.read(file, passphrase, lambda name: draft / name)
    if manifest.table_prefix != prefix:
        raise BackupRefused(f"its tables begin with {manifest.table_prefix!r}: set SLUICE_TABLE_PREFIX to that.")
    copied = StoreCopy(draft / STORE, prefix)
    check_store(copied, manifest)
    _leave_out_unnamed(draft / DOCUMENTS, copied.files())
    queue_again(draft, copied)
    with store_alone.running(draft / STORE) as url:
        tables_ready.ensure(url, prefix, embedded=True, seconds=START_SECONDS, say=say)
        tables_ready.note(draft)
        if ended != Ended():
            _end(ended, say)
    return manifest


def _leave_out_unnamed(documents: Path, files: set[tuple[str, str]]) -> None:
    """Delete what no row of the store names: uploaded after the store's moment, or deleted before it."""
    for kind in (FILES, TEXTS, VECTORS):
        for path in (documents / kind).glob("*/*"):
            if path.parent.name != NOBODY and (path.parent.name, path.name) not in files:
                for each in [path] if path.is_file() else [*path.rglob("*")]:
                    each.unlink()
                if path.is_dir():
                    path.rmdir()


def queue_again(data_dir: Path, store: StoreCopy) -> None:
    """What the store's runs and batches wait for."""
    from sluice.adapters.runs.queue import FolderQueue

    for spool, waiting in ((SPOOL, store.queued_runs()), (BATCH_SPOOL, store.live_batches())):
        for account_id, run_id in waiting:
            FolderQueue(data_dir / spool).put(account_id, run_id)


def _end(ended: Ended, say: Say) -> None:
    """Errors: StoreUnavailable."""
    from sluice.domain.accounts.visitor import Visitor
    from sluice.wiring import stores
    from sluice.wiring.tokens import tokens

    by, sessions = Visitor("", time.time_ns() // 1_000_000), stores.session_store()
    accounts = list(stores.accountant().accounts())
    if ended.tokens:
        say(f"revoked {sum(tokens().revoke_all(one, by) for one in accounts)} API tokens")
    if ended.sessions:
        for one in accounts:
            sessions.erase_account(one)
        say("ended every session")


def _put(draft: Path, target: Path) -> None:
    os.sync()  # everything is on disk before the name is
    try:
        os.rename(draft, target)
    except OSError as exc:
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise BackupRefused(f"{target} is not empty any more. {AWAY}") from exc
        raise
    sync_folder(target.parent)
