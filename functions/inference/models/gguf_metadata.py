"""What a GGUF file says of itself, read without llama.cpp, which ends the process for some files used wrongly."""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from functions.inference.errors import ModelFileError
from functions.inference.models.model_file import MAGIC

Kind = Literal["text", "embeddings", "ranking"]

VERSIONS = (2, 3)
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
MOST_VALUES = 100_000
ENCODERS = frozenset(("bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert")) | {
    "neo-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "t5encoder",
}
"""Architectures of llama.cpp that read a whole text at once and generate none."""
NO_POOLING, RANK_POOLING = 0, 4


def kind_of(path: Path) -> tuple[Kind, str]:
    """What the model is made for, and its architecture. Raises ModelFileError, also if it is no GGUF file."""
    values = metadata(path)
    architecture = str(values.get("general.architecture", ""))
    pooling = values.get(f"{architecture}.pooling_type", NO_POOLING)
    if pooling == RANK_POOLING:
        return "ranking", architecture
    return "embeddings" if pooling != NO_POOLING or architecture in ENCODERS else "text", architecture


def metadata(path: Path) -> dict[str, Any]:
    """The file's names and values; of an array its length. Raises ModelFileError."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ModelFileError(f"The model file {path} is not a GGUF file.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
                return dict(_values(raw))
    except (struct.error, ValueError, OverflowError, IndexError, KeyError) as exc:
        raise ModelFileError(f"The model file {path} cannot be loaded: its beginning is damaged.") from exc
    except OSError as exc:
        raise ModelFileError(f"The model file {path} cannot be read: {exc.strerror or exc}.") from exc


def _values(raw: mmap.mmap) -> Iterator[tuple[str, Any]]:
    version, _tensors, count = struct.unpack_from("<IQQ", raw, len(MAGIC))
    if version not in VERSIONS or count > MOST_VALUES:
        raise ValueError
    at = len(MAGIC) + struct.calcsize("<IQQ")
    for _ in range(count):
        name, at = _text(raw, at)
        (kind,) = struct.unpack_from("<I", raw, at)
        value, at = _value(raw, at + 4, kind)
        yield name, value


def _value(raw: mmap.mmap, at: int, kind: int) -> tuple[Any, int]:
    if kind == TEXT:
        return _text(raw, at)
    if kind != ARRAY:
        return struct.unpack_from("<" + SCALARS[kind], raw, at)[0], at + struct.calcsize("<" + SCALARS[kind])
    kind, count = struct.unpack_from("<IQ", raw, at)
    at += struct.calcsize("<IQ")
    if kind != TEXT:
        return count, at + count * struct.calcsize("<" + SCALARS[kind])
    for _ in range(count):
        at += 8 + struct.unpack_from("<Q", raw, at)[0]
    return count, at


def _text(raw: mmap.mmap, at: int) -> tuple[str, int]:
    (size,) = struct.unpack_from("<Q", raw, at)
    if at + 8 + size > len(raw):
        raise ValueError
    return raw[at + 8 : at + 8 + size].decode(errors="replace"), at + 8 + size
