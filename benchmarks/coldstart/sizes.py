"""The sizes of the packages. Lambda's limit is 250 MB unpacked."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path


def sizes(built: Path) -> Iterator[str]:
    """One line for the layer, one for its largest parts, one for the functions."""
    layer = built / "CoreLayer"
    yield f"layer: {_mb(_weight(layer))} unpacked, {_mb(_zipped(layer))} zipped"
    parts = sorted((layer / "python").iterdir(), key=_weight, reverse=True)
    yield "of it: " + ", ".join(f"{part.name} {_mb(_weight(part))}" for part in parts[:8])
    functions = [folder for folder in sorted(built.iterdir()) if folder.is_dir() and folder.name.endswith("Function")]
    yield "functions, zipped: " + ", ".join(
        f"{folder.name.removesuffix('Function')} {_zipped(folder) / 1024:.0f} KB" for folder in functions
    )


def _weight(path: Path) -> int:
    return (
        path.stat().st_size
        if path.is_file()
        else sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    )


def _zipped(folder: Path) -> int:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return packed.tell()


def _mb(count: int) -> str:
    return f"{count / 1_000_000:.1f} MB"
