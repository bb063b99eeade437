"""The part of the GGUF format (v3) that is needed to copy a tokenizer and to write random weights."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

ALIGNMENT_BYTES = 32
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

Value = tuple[int, Any]
"""A metadata value and its type. The value of an array is (element type, list)."""


def read_metadata(path: Path) -> dict[str, Value]:
    """All metadata of a file, with types. Raises ValueError for another format."""
    with path.open("rb") as file:
        magic, _version, _tensors, entries = struct.unpack("<4sIQQ", file.read(24))
        if magic != b"GGUF":
            raise ValueError(f"{path} is not a GGUF file")
        found = {}
        for _ in range(entries):
            key = _read_string(file)
            kind = _unpack(file, "I")
            found[key] = (kind, _read(file, kind))
        return found


def _read(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _read_string(file)
    if kind == ARRAY:
        inner, count = _unpack(file, "I"), _unpack(file, "Q")
        return inner, [_read(file, inner) for _ in range(count)]
    return _unpack(file, SCALARS[kind])


def _read_string(file: BinaryIO) -> str:
    return file.read(_unpack(file, "Q")).decode("utf-8", "surrogateescape")


def _unpack(file: BinaryIO, form: str) -> Any:
    return struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))[0]


class Tensor:
    """Name, dimensions (fastest first), ggml type, size in bytes, and a function that makes the bytes when needed."""

    def __init__(self, name: str, dims: tuple[int, ...], kind: int, size_bytes: int, data: Iterable[bytes]) -> None:
        self.name, self.dims, self.kind, self.size_bytes, self.data = name, dims, kind, size_bytes, data


def write(path: Path, metadata: Mapping[str, Value], tensors: list[Tensor]) -> None:
    """Write a complete file."""
    with path.open("wb") as file:
        file.write(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata)))
        for key, (kind, value) in metadata.items():
            file.write(_string(key) + struct.pack("<I", kind) + b"".join(_packed(kind, value)))
        offset = 0
        for tensor in tensors:
            file.write(_string(tensor.name) + struct.pack("<I", len(tensor.dims)))
            file.write(struct.pack(f"<{len(tensor.dims)}QIQ", *tensor.dims, tensor.kind, offset))
            offset += _aligned(tensor.size_bytes)
        file.write(bytes(_aligned(file.tell()) - file.tell()))
        for tensor in tensors:
            for piece in tensor.data:
                file.write(piece)
            file.write(bytes(_aligned(tensor.size_bytes) - tensor.size_bytes))


def _packed(kind: int, value: Any) -> Iterator[bytes]:
    if kind == STRING:
        yield _string(value)
    elif kind == ARRAY:
        inner, items = value
        yield struct.pack("<IQ", inner, len(items))
        for item in items:
            yield from _packed(inner, item)
    else:
        yield struct.pack("<" + SCALARS[kind], value)


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(raw)) + raw


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
