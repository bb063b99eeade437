"""Files that are on disk as a whole, or not there."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace the file, and return when it is synced to disk. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.replace(draft_of(path, content, mode), path)
    sync_folder(path.parent)


def draft_of(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """The content in a new file beside `path`, synced to disk."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(6)}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return draft


def sync_folder(folder: Path) -> None:
    """Sync the folder's list of names."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
