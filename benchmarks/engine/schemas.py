"""How much another caller's answer is slowed by a schema's: python -m benchmarks.engine.schemas MODEL.gguf [COUNT]

The other caller's 200 tokens are timed beside an answer with the schema and beside one without, of the same length. The
schemas are the tests' hostile ones and COUNT generated ones (default 200). At temperature 2 the grammar is
asked for all tokens most of the time, which is its dearest case.
"""

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from functions.inference.engine.decoder import Decoder, EngineLimits
from functions.inference.engine.jobs import Failed, Finished, Job, Sampling
from functions.inference.errors import UnsupportedSchema
from functions.inference.grammar.grammar import json_grammar
from functions.inference.llama.backend import LlamaBackend
from functions.inference.llama.runtime import LoadOptions, load_model, start_library
from tests.unit.inference.schemas import HOSTILE, generated

TOKENS = 200
SUSPECT, TURNS = 1.3, 7
"""What looks slower than this is measured again, in so many turns, of which the fastest count."""


def other_s(backend: LlamaBackend, beside: Job) -> float:
    """CPU seconds until the other caller has its tokens: wall time on an idle machine, and the same on a busy one."""
    decoder = Decoder(backend, EngineLimits(slots=2), time.monotonic)
    other = Job((6, 7, 9), TOKENS, Sampling(ignore_eos=True))
    decoder.occupy(beside)
    decoder.occupy(other)
    began_s = time.thread_time()
    while other.completion_tokens < TOKENS:
        decoder.step()
    took_s = time.thread_time() - began_s
    decoder.drop(lambda job: Finished("cancelled", job.completion_tokens))
    return took_s


def slowed(backend: LlamaBackend, schema: Any, turns: int) -> tuple[float, bool]:
    """By which factor, and whether the answer was ended. Raises UnsupportedSchema."""
    grammar = json_grammar(schema, "response_format")
    plain, matched, ended = [], [], False
    for _ in range(turns):
        matcher = backend.grammars.matcher(grammar)
        job = Job((5, 7, 9), TOKENS, Sampling(temperature=2.0, seed=1, matcher=matcher))
        matched.append(other_s(backend, job))
        while not job.events.empty():
            last = job.events.get()
        ended |= isinstance(last, Failed)
        text = Sampling(temperature=2.0, seed=1, ignore_eos=True)
        plain.append(other_s(backend, Job((5, 7, 9), max(1, job.completion_tokens), text)))
    return min(matched) / min(plain), ended


def schemas(count: int) -> Iterator[tuple[str, Any]]:
    yield from HOSTILE.items()
    for seed in range(count):
        yield f"seed {seed}", generated(seed)


def main() -> None:
    start_library()
    handle = load_model(Path(sys.argv[1]), LoadOptions())
    backend = LlamaBackend(handle, sequences=2, context_tokens=512, batch_tokens=64, threads=1)
    found: list[tuple[float, str, bool]] = []
    for number, (name, schema) in enumerate(schemas(int(sys.argv[2]) if len(sys.argv) > 2 else 200), 1):
        if number % 500 == 0:
            print(f"{number} schemas, {len(found)} accepted, slowest {max(found)}", flush=True)
        try:
            ratio, ended = slowed(backend, schema, 1)
            if ratio > SUSPECT:
                ratio, ended = slowed(backend, schema, TURNS)
        except UnsupportedSchema:
            continue
        found.append((ratio, name, ended))
    ratios = [ratio for ratio, _, _ in found]
    print(f"{len(found)} accepted schemas; the other's answer takes, as a multiple of that beside plain text:")
    print(f"median {statistics.median(ratios):.2f}, p99 {statistics.quantiles(ratios, n=100)[98]:.2f}, slowest:")
    for ratio, name, ended in sorted(found, reverse=True)[:8]:
        print(f"  {ratio:.2f}  {name}{' (its answer was ended)' if ended else ''}")


if __name__ == "__main__":
    main()
