"""Checks a model file before llama.cpp loads it, because llama.cpp does not notice corrupted weights."""

import hashlib
from pathlib import Path

from functions.inference.errors import ModelFileError
from functions.inference.models.gguf_header import MAGIC, kind_of

KIND_BYTES = 64


def recorded_hash_file(path: Path) -> Path:
    """Where a pull records the SHA-256 of a file whose catalogue entry has none."""
    return path.with_name(path.name + ".sha256")


def expected_sha256(path: Path, catalogue_sha256: str | None) -> str | None:
    """The catalogue's hash, else the one recorded by a pull, else None."""
    if catalogue_sha256:
        return catalogue_sha256
    recorded = recorded_hash_file(path)
    return recorded.read_text("ascii", "replace").split()[0] if recorded.is_file() else None


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_model_file(path: Path, *, sha256: str | None, size_bytes: int | None = None) -> None:
    """Raises ModelFileError when the file is missing, unreadable, not GGUF, truncated or of another hash."""
    try:
        with path.open("rb") as file:
            start = file.read(KIND_BYTES)
        actual_bytes = path.stat().st_size
        if not start.startswith(MAGIC):
            raise ModelFileError(f"The model file {path} is not a GGUF file (it is {kind_of(start)}).")
        if size_bytes is not None and actual_bytes != size_bytes:
            raise ModelFileError(f"The model file {path} has {actual_bytes} bytes and should have {size_bytes}.")
        if sha256 is not None and (actual := sha256_of(path)) != sha256:
            raise ModelFileError(
                f"The model file {path} is corrupted or was changed: its SHA-256 is {actual} and should be {sha256}."
            )
    except OSError as exc:
        raise ModelFileError(f"The model file {path} cannot be read: {exc.strerror or exc}.") from exc
