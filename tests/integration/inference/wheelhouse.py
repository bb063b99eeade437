"""A folder of small wheels, which pip of the tests takes in the place of an index."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest


def configure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a person would who has no index: in pip's own environment variables."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def wheel(folder: Path, name: str, files: Mapping[str, bytes], requires: str = "", tag: str = "py3-none-any") -> str:
    """Write version 1.0 of a package. Returns its SHA-256."""
    folder.mkdir(exist_ok=True)
    stem = name.replace("-", "_")
    info = f"{stem}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + (
        f"Requires-Dist: {requires}\n" if requires else ""
    )
    path = folder / f"{stem}-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in files.items():
            archive.writestr(f"{stem}/{file}", content)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()
