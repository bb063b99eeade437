"""Files that are on disk as a whole, or not there."""

import os
import secrets
import shutil
from pathlib import Path
from typing import BinaryIO

PIECE_BYTES = 1024 * 1024


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace the file, and return when it is synced to disk. Raises OSError."""
    try:
        draft = _draft_in_made_folder(path, content, mode)
    except FileNotFoundError:  # the folder was empty and has just been cleared away (infra/local/expiry.py)
        draft = _draft_in_made_folder(path, content, mode)
    os.replace(draft, path)
    sync_folder(path.parent)


def copy_whole(path: Path, source: BinaryIO) -> None:
    """As `write_whole`, of what `source` still has. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _draft_file(path, 0o600) as file:
        shutil.copyfileobj(source, file, PIECE_BYTES)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)
    sync_folder(path.parent)


def _draft_in_made_folder(path: Path, content: bytes, mode: int) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return draft_of(path, content, mode)


def draft_of(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """The content in a new file beside `path`, synced to disk."""
    with _draft_file(path, mode) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Path(file.name)


def _draft_file(path: Path, mode: int) -> BinaryIO:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(6)}.part")
    return open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode))


def sync_folder(folder: Path) -> None:
    """Sync the folder's list of names."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
