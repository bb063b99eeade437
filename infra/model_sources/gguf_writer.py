"""Writes a GGUF file (version 3): names and values, then tensors, each at a multiple of 32 bytes."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC, VERSION, ALIGNMENT = b"GGUF", 3, 32
F32, Q4_0 = 0, 2
"""Types of tensors."""
BLOCK_VALUES, BLOCK_BYTES = 32, 18
"""Of Q4_0."""
_KINDS = {"u8": (0, "B"), "u32": (4, "I"), "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "?"), "text": (8, "")}
_ARRAY = 9


@dataclass(frozen=True)
class Value:
    """`kind`: of `_KINDS`. `many`: an array of them."""

    kind: str
    value: object
    many: bool = False

    def packed(self) -> bytes:
        number, _ = _KINDS[self.kind]
        if not self.many:
            return struct.pack("<I", number) + self._items([self.value])
        items = self.value if isinstance(self.value, (list, bytes)) else []
        return struct.pack("<IIQ", _ARRAY, number, len(items)) + self._items(items)

    def _items(self, items: Sequence[object]) -> bytes:
        if self.kind == "text":
            return b"".join(_text(one) for one in items)
        return struct.pack(f"<{len(items)}{_KINDS[self.kind][1]}", *items)


@dataclass(frozen=True)
class Tensor:
    """`rows`: 0 for a vector of `columns`."""

    rows: int
    columns: int
    kind: int
    data: bytes

    @property
    def shape(self) -> tuple[int, ...]:
        """As GGUF has it: the fastest first."""
        return (self.columns, self.rows) if self.rows else (self.columns,)


def write(path: Path, values: Mapping[str, Value], tensors: Mapping[str, Tensor]) -> None:
    with path.open("wb") as file:
        file.write(MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(values)))
        for name, value in values.items():
            file.write(_text(name) + value.packed())
        at = 0
        for name, tensor in tensors.items():
            dims = tensor.shape
            file.write(_text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, tensor.kind, at))
            at += _padded(len(tensor.data))
        _pad(file)
        for tensor in tensors.values():
            file.write(tensor.data)
            _pad(file)


def _text(text: object) -> bytes:
    raw = text if isinstance(text, bytes) else str(text).encode()
    return struct.pack("<Q", len(raw)) + raw


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _pad(file: BinaryIO) -> None:
    file.write(bytes(_padded(file.tell()) - file.tell()))
