"""Writes zips that are identical for identical content, so that unchanged packages are not deployed again."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can store


def zip_folders(target: Path, folders: Iterable[tuple[Path, str]]) -> Path:
    """Write `target` with each folder's files below its prefix ("": none). Later folders win. Keeps file modes."""
    files: dict[str, Path] = {}
    for folder, prefix in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                files[f"{prefix}{path.relative_to(folder).as_posix()}"] = path
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, path in sorted(files.items()):
            add(archive, name, path.read_bytes(), path.stat().st_mode & 0xFFFF)
    return target


def add(archive: zipfile.ZipFile, name: str, content: bytes, mode: int) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = mode << 16
    archive.writestr(entry, content)
