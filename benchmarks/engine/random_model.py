"""Writes a model of Qwen2.5-0.5B's shape with random weights, to measure speed without a download.

    python -m benchmarks.engine.random_model q4_0 /tmp/random-q4_0.gguf

The tokenizer is the demo model's, padded to Qwen's 151,936 tokens, so that the output layer has its real size.
Answers are noise, but speed and memory use are those of the real model.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.engine.gguf_file import ARRAY, STRING, Tensor, Value, read_metadata, write

DEMO = Path(__file__).parents[2] / "model" / "demo-model-q8_0.gguf"
LAYERS, WIDTH, FEED_FORWARD, HEADS, KV_HEADS, VOCABULARY, CONTEXT = 24, 896, 4864, 14, 2, 151_936, 32_768
KV_WIDTH = WIDTH // HEADS * KV_HEADS
F32, Q4_0, Q8_0 = 0, 2, 8
BLOCK_VALUES = 32
BLOCK_BYTES = {Q4_0: 18, Q8_0: 34}
KINDS = {"q4_0": Q4_0, "q8_0": Q8_0}
UINT32, FLOAT32, INT32, NORMAL_TOKEN = 4, 6, 5, 1


def metadata(kind: int) -> dict[str, Value]:
    """The demo model's metadata, with Qwen2.5-0.5B's numbers."""
    found = read_metadata(DEMO)
    numbers = {"block_count": LAYERS, "context_length": CONTEXT, "embedding_length": WIDTH, "vocab_size": VOCABULARY}
    numbers |= {"feed_forward_length": FEED_FORWARD, "attention.head_count": HEADS}
    numbers["attention.head_count_kv"] = KV_HEADS
    found |= {f"qwen2.{name}": (UINT32, value) for name, value in numbers.items()}
    found["qwen2.rope.freq_base"] = (FLOAT32, 1_000_000.0)
    found["general.name"] = (STRING, "random-0.5b")
    found["general.file_type"] = (UINT32, {Q4_0: 2, Q8_0: 7}[kind])
    _inner, tokens = found["tokenizer.ggml.tokens"][1]
    _inner, types = found["tokenizer.ggml.token_type"][1]
    padding = range(VOCABULARY - len(tokens))
    found["tokenizer.ggml.tokens"] = (ARRAY, (STRING, [*tokens, *(f"pad{n}" for n in padding)]))
    found["tokenizer.ggml.token_type"] = (ARRAY, (INT32, [*types, *(NORMAL_TOKEN for _ in padding)]))
    return found


def tensors(kind: int) -> list[Tensor]:
    """Every tensor of the shape. Norms are ones, biases zeros."""
    made = [_weights("token_embd.weight", (WIDTH, VOCABULARY), kind), _constant("output_norm.weight", WIDTH, 1.0)]
    for layer in range(LAYERS):
        prefix = f"blk.{layer}."
        for name, dims in {
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (WIDTH, KV_WIDTH),
            "attn_v": (WIDTH, KV_WIDTH),
            "attn_output": (WIDTH, WIDTH),
            "ffn_gate": (WIDTH, FEED_FORWARD),
            "ffn_up": (WIDTH, FEED_FORWARD),
            "ffn_down": (FEED_FORWARD, WIDTH),
        }.items():
            made.append(_weights(f"{prefix}{name}.weight", dims, kind))
        made += [_constant(f"{prefix}attn_norm.weight", WIDTH, 1.0), _constant(f"{prefix}ffn_norm.weight", WIDTH, 1.0)]
        made += [_constant(f"{prefix}attn_{n}.bias", size, 0.0) for n, size in (("q", WIDTH), ("k", KV_WIDTH))]
        made.append(_constant(f"{prefix}attn_v.bias", KV_WIDTH, 0.0))
    return made


def _constant(name: str, size: int, value: float) -> Tensor:
    raw = np.full(size, value, "<f4").tobytes()
    return Tensor(name, (size,), F32, len(raw), [raw])


def _weights(name: str, dims: tuple[int, int], kind: int) -> Tensor:
    blocks = dims[0] * dims[1] // BLOCK_VALUES
    return Tensor(name, dims, kind, blocks * BLOCK_BYTES[kind], _random_blocks(blocks, kind))


def _random_blocks(blocks: int, kind: int) -> Iterator[bytes]:
    """A block has a 16-bit float as scale, and 32 values. The scale keeps the activations near one."""
    random = np.random.default_rng(blocks)
    scale = {Q4_0: 0.006, Q8_0: 0.0004}[kind]
    for start in range(0, blocks, 1 << 16):
        count = min(1 << 16, blocks - start)
        raw = random.integers(0, 256, (count, BLOCK_BYTES[kind]), np.uint8)
        raw[:, :2] = np.frombuffer(np.array([scale], "<f2").tobytes(), np.uint8)
        yield raw.tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    write(options.out, metadata(KINDS[options.kind]), tensors(KINDS[options.kind]))
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
