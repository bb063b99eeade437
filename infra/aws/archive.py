"""Zips with the same bytes for the same content: what did not change is not deployed again."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say


def zip_folders(target: Path, folders: Iterable[tuple[Path, str]]) -> Path:
    """`target` with each folder's files below its prefix ("" for the top); later ones win. Modes are kept."""
    files: dict[str, Path] = {}
    for folder, prefix in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                files[f"{prefix}{path.relative_to(folder).as_posix()}"] = path
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, path in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (path.stat().st_mode & 0xFFFF) << 16
            archive.writestr(entry, path.read_bytes())
    return target
