"""What a GGUF file says about itself, read without llama.cpp, which ends the process on some files.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Versions 2 and 3, little-endian.
"""

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from functions.inference.errors import ModelFileError
from functions.inference.models.gguf_tensors import tensor_bytes

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_KEPT_BYTES = 1 << 20
"""Longer texts are skipped. Chat templates have up to about 20 kB."""
MOST_DIMENSIONS = 8
MOST_LAYERS = 4096
"""Longer arrays of numbers are skipped, as vocabularies have them."""
MOST_ENTRIES = 1_000_000
"""Of keys, of tensors, and of an array of texts: vocabularies have up to about 300,000."""
ALIGNMENT_BYTES = 32
"""Of the tensors' part, where the file names no other."""
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
TEXT, ARRAY = 8, 9
QUANTISATIONS = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4",
    40: "Q1_0", 41: "Q2_0",
}  # fmt: skip
"""llama.cpp's `llama_ftype`, the key `general.file_type`."""
ENCODERS = frozenset({"bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert",
                      "nomic-bert", "nomic-bert-moe", "t5encoder"})  # fmt: skip
"""Architectures that generate no text."""
POOLING_NONE, POOLING_RANK = 0, 4

Use = Literal["chat", "completions", "embeddings", "rerank"]


@dataclass(frozen=True)
class GgufHeader:
    """The part of a file that says what it is. Empty and None: the file does not say."""

    architecture: str
    """Such as `qwen2`, llama.cpp's name of the family."""
    name: str
    license: str
    quantisation: str
    context_tokens: int | None
    """The context that the model was trained with."""
    chat_template: str
    adds_bos: bool | None
    """Whether the file asks for the start token before a prompt."""
    pooling: int | None
    parameters: int
    files: int
    """More than 1: this file is one of several that belong together."""
    layers: int
    dimensions: int
    """The length of a vector within the model, and of an embedding."""
    token_values: int
    """Numbers in the keys and values of one token in a context."""
    whole_bytes: int
    """The least size of the file that has all of its tensors."""

    def context_within(self, most_tokens: int) -> int:
        """Tokens of one sequence, `most_tokens` at most."""
        trained = self.context_tokens or 0
        return min(most_tokens, trained) if trained > 0 else most_tokens

    @property
    def embeds(self) -> bool:
        """Whether it makes vectors (or ranks) and generates no text."""
        return self.architecture in ENCODERS or self.pooling not in (None, POOLING_NONE)

    @property
    def ranks(self) -> bool:
        """Whether it is a reranker."""
        return self.pooling == POOLING_RANK

    @property
    def use(self) -> Use:
        """What it can do. A file without a chat template completes text, and does not chat."""
        if self.ranks:
            return "rerank"
        if self.embeds:
            return "embeddings"
        return "chat" if self.chat_template else "completions"


def read_header(path: Path) -> GgufHeader:
    """Raises ModelFileError: missing or unreadable, not GGUF, an unknown version, or a header cut off or garbage."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            values, parameters, whole_bytes = _Reader(data).read()
    except OSError as exc:
        raise ModelFileError(f"The model file {path} cannot be read: {exc.strerror or exc}.") from exc
    except _Garbage as exc:
        raise ModelFileError(f"The model file {path} {exc}.") from exc
    except (ValueError, struct.error, IndexError) as exc:
        raise ModelFileError(f"The model file {path} is cut off or damaged in its header.") from exc
    return _header(values, parameters, whole_bytes)


class _Garbage(Exception):
    """The end of a sentence that begins with the file."""


class _Reader:
    def __init__(self, data: Any) -> None:
        self._data, self._at = data, 0

    def read(self) -> tuple[dict[str, Any], int, int]:
        """The keys that are wanted, the number of parameters, and the bytes that a whole file has."""
        start = bytes(self._data[: len(MAGIC)])
        if start != MAGIC:
            raise _Garbage(f"is not a GGUF file (it is {kind_of(bytes(self._data[:64]))})")
        self._at = len(MAGIC)
        if (version := self._scalar(4)) not in VERSIONS:
            raise _Garbage(f"has the GGUF version {version}; 2 and 3 can be read")
        tensors, keys = self._count(), self._count()
        values = {}
        for _ in range(keys):
            key = self._text() or ""
            values[key] = self._value(self._scalar(4))
        found = [self._tensor() for _ in range(tensors)]
        alignment = values.get("general.alignment")
        step = alignment if isinstance(alignment, int) and alignment > 0 else ALIGNMENT_BYTES
        data = -(-self._at // step) * step if found else self._at
        return values, sum(count for count, _ in found), data + max((end for _, end in found), default=0)

    def _tensor(self) -> tuple[int, int]:
        """Its values, and where it ends within the tensors' part of the file."""
        self._text()
        dimensions = self._scalar(4)
        if dimensions > MOST_DIMENSIONS:
            raise ValueError(dimensions)
        count: int = math.prod(self._scalar(10) for _ in range(dimensions))
        kind, offset = self._scalar(4), self._scalar(10)
        return count, offset + tensor_bytes(kind, count)

    def _value(self, kind: int) -> Any:
        if kind == TEXT:
            return self._text()
        if kind == ARRAY:
            return self._array()
        return self._scalar(kind)

    def _array(self) -> list[Any] | None:
        """Of numbers, if it is short."""
        kind, count = self._scalar(4), self._scalar(10)
        if kind in SCALARS and count <= MOST_LAYERS:
            return [self._scalar(kind) for _ in range(count)]
        if kind == TEXT:
            for _ in range(_bounded(count)):
                self._skip(self._scalar(10))
        elif kind in SCALARS:
            self._skip(count * struct.calcsize(SCALARS[kind]))
        else:
            raise ValueError(kind)
        return None

    def _count(self) -> int:
        return _bounded(self._scalar(10))

    def _text(self) -> str | None:
        length = self._scalar(10)
        begin = self._at
        self._skip(length)
        return self._data[begin : self._at].decode(errors="replace") if length <= MOST_KEPT_BYTES else None

    def _scalar(self, kind: int) -> Any:
        if kind not in SCALARS:
            raise ValueError(kind)
        form = SCALARS[kind]
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return value

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise ValueError("past the end")


def _bounded(count: int) -> int:
    if count > MOST_ENTRIES:
        raise ValueError(count)
    return count


def _header(values: Mapping[str, Any], parameters: int, whole_bytes: int) -> GgufHeader:
    def of(key: str, kind: type, missing: Any) -> Any:
        value = values.get(key)
        return value if isinstance(value, kind) else missing

    family = of("general.architecture", str, "")
    kind = of("general.file_type", int, -1)
    return GgufHeader(
        architecture=family,
        name=of("general.name", str, ""),
        license=of("general.license", str, ""),
        quantisation=QUANTISATIONS.get(kind, ""),
        context_tokens=of(f"{family}.context_length", int, None),
        chat_template=of("tokenizer.chat_template", str, ""),
        adds_bos=of("tokenizer.ggml.add_bos_token", bool, None),
        pooling=of(f"{family}.pooling_type", int, None),
        parameters=parameters,
        files=of("split.count", int, 1),
        layers=of(f"{family}.block_count", int, 0),
        dimensions=of(f"{family}.embedding_length", int, 0),
        token_values=_token_values(values, family),
        whole_bytes=whole_bytes,
    )


def _token_values(values: Mapping[str, Any], family: str) -> int:
    """Counted as if every layer had attention, so that models with others are not counted too low."""

    def number(key: str, missing: int) -> int:
        value = values.get(f"{family}.{key}")
        if isinstance(value, list):
            value = max(value, default=missing)
        return value if isinstance(value, int) and value >= 0 else missing

    heads = max(1, number("attention.head_count", 1))
    width = number("embedding_length", 0) // heads
    length = number("attention.key_length", width) + number("attention.value_length", width)
    layers: int = number("block_count", 0)
    return layers * number("attention.head_count_kv", heads) * length


def kind_of(start: bytes) -> str:
    """What a file that was taken for a model is, as far as its first bytes tell."""
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "a web page"
    if text.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the file itself"
    if start.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        return "an archive"
    if text.startswith((b"{", b"[")):
        return "JSON"
    return "something else"
