"""Files that are on disk whole or not at all, also after a power failure."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace the file. It and its name are synced to disk when this returns. Errors: OSError."""
    os.replace(draft(path, content, mode), path)
    sync_folder(path.parent)


def draft(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """A synced file beside `path`, to be renamed or linked to it. Errors: OSError."""
    made = path.with_name(f"{path.name}.{secrets.token_hex(6)}.part")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return made


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Errors: OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
