"""Small GGUF files for tests: a header, no weights."""

import struct
from collections.abc import Mapping

TYPES = {bool: (7, "<?"), int: (4, "<I"), float: (6, "<f")}


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf(
    values: Mapping[str, object],
    version: int = 3,
    tensors: Mapping[str, tuple[int, ...]] | None = None,
    tensor_type: int = 0,
) -> bytes:
    """A header with these keys: texts, truth values, numbers and lists of texts; and tensors of these dimensions."""
    tensors = tensors or {}
    parts = [b"GGUF", struct.pack("<IQQ", version, len(tensors), len(values))]
    parts += [text(key) + _value(value) for key, value in values.items()]
    for name, shape in tensors.items():
        parts += [text(name), struct.pack(f"<I{len(shape)}Q", len(shape), *shape), struct.pack("<IQ", tensor_type, 0)]
    return b"".join(parts)


def _value(value: object) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, list):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    kind, form = TYPES[type(value)]
    return struct.pack("<I", kind) + struct.pack(form, value)
