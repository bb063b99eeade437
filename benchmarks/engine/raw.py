"""The CPU time of llama_decode alone, by batch width: the best that batching can reach.

python -m benchmarks.engine.raw MODEL.gguf
"""

import sys
import time
from pathlib import Path

from functions.inference.engine.backend import Row
from functions.inference.llama.backend import LlamaBackend
from functions.inference.llama.runtime import LoadOptions, load_model, start_library

STEPS, DEPTH = 12, 200


def prompt_ms(backend: LlamaBackend, tokens: int) -> float:
    """CPU milliseconds per prompt token."""
    backend.forget(0, 0)
    began = time.process_time()
    backend.decode([Row(300 + n % 500, n, 0, n == tokens - 1) for n in range(tokens)])
    backend.logprob(tokens - 1, 0, 0)  # waits for the computation
    return (time.process_time() - began) * 1000 / tokens


def generation_ms(backend: LlamaBackend, width: int) -> float:
    """CPU milliseconds per generated token, with `width` concurrent sequences."""
    for seq in range(width):
        backend.forget(seq, 0)
    backend.decode([Row(5, 0, seq, True) for seq in range(width)])
    began = time.process_time()
    for step in range(1, STEPS + 1):
        backend.decode([Row(5, step, seq, True) for seq in range(width)])
    return (time.process_time() - began) * 1000 / STEPS / width


def call_ms(backend: LlamaBackend, tokens: int) -> float:
    """CPU milliseconds of a call with so many tokens of one answer and all their logits, as where they are guessed."""
    backend.forget(0, 0)
    backend.decode([Row(5 + n, n, 0, n == DEPTH - 1) for n in range(DEPTH)])
    backend.logprob(DEPTH - 1, 0, 0)
    began = time.process_time()
    for _ in range(STEPS):
        backend.decode([Row(5 + n, DEPTH + n, 0, True) for n in range(tokens)])
        backend.forget(0, DEPTH)
    return (time.process_time() - began) * 1000 / STEPS


def main() -> None:
    start_library()
    handle = load_model(Path(sys.argv[1]), LoadOptions())
    backend = LlamaBackend(handle, sequences=16, context_tokens=512, batch_tokens=512, threads=1)
    prompt_ms(backend, 16)
    alone = generation_ms(backend, 1)
    for width in (1, 2, 4, 8, 16):
        cost = generation_ms(backend, width)
        print(f"generating, {width:2} at once: {cost:6.2f} ms a token, {alone / cost:.2f} times one alone")
    one = call_ms(backend, 1)
    for width in (2, 4, 5, 8, 16):
        cost = call_ms(backend, width)
        print(f"{width:2} tokens of one answer a call: {cost:6.2f} ms, {cost / one:.2f} times a call with one")
    for tokens in (16, 64, 256):
        print(f"prompt, {tokens:3} tokens a call: {prompt_ms(backend, tokens):6.2f} ms a token")


if __name__ == "__main__":
    main()
