"""A SentencePiece vocabulary whose plain pieces `</` and `s>` merge into the control token `</s>`. No weights."""

import struct
from collections.abc import Mapping
from pathlib import Path

import llama_cpp

from functions.inference.llama.vocab import LlamaVocab

PIECES = ["▁", "<", "s", ">", "s>", "/", "</", "h", "i"]
TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES]
UNKNOWN, CONTROL, BYTE, NORMAL = 2, 3, 6, 1
KINDS = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(PIECES)]
SCORES = [*[0.0] * 259, *(-10.0 - place for place in range(len(PIECES)))]
SIZES = {"context_length": 64, "embedding_length": 32, "block_count": 1, "feed_forward_length": 32}


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _array(kind: int, packed: list[bytes]) -> bytes:
    return struct.pack("<IIQ", 9, kind, len(packed)) + b"".join(packed)


def write(path: Path, more: Mapping[str, int] | None = None) -> None:
    """As GGUF, version 3. `more`: numbers to add."""
    values = {
        "general.architecture": struct.pack("<I", 8) + _text("llama"),
        "tokenizer.ggml.model": struct.pack("<I", 8) + _text("llama"),
        "tokenizer.ggml.tokens": _array(8, [_text(token) for token in TOKENS]),
        "tokenizer.ggml.scores": _array(6, [struct.pack("<f", score) for score in SCORES]),
        "tokenizer.ggml.token_type": _array(5, [struct.pack("<i", kind) for kind in KINDS]),
        "llama.attention.layer_norm_rms_epsilon": struct.pack("<If", 6, 1e-5),
    }
    numbers = {"tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.unknown_token_id": 0}
    numbers |= more or {}
    numbers |= {f"llama.{name}": size for name, size in (SIZES | {"attention.head_count": 1}).items()}
    values |= {name: struct.pack("<II", 4, number) for name, number in numbers.items()}
    pairs = b"".join(_text(name) + value for name, value in values.items())
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(values)) + pairs)


def load(path: Path) -> LlamaVocab:
    options = llama_cpp.llama_model_default_params()
    options.vocab_only = True
    return LlamaVocab(llama_cpp.llama_model_load_from_file(str(path).encode(), options))
