"""How much another caller's answer is slowed by a schema's: python -m benchmarks.engine.schemas MODEL.gguf [COUNT]

The other caller's 200 tokens are timed beside an answer without a schema and beside one with it, in turns. The schemas
are the tests' hostile ones and COUNT generated ones (default 200). At temperature 2 the grammar is asked for all tokens
most of the time, which is its dearest case.
"""

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from functions.inference.engine.engine import Engine, EngineLimits
from functions.inference.engine.jobs import Failed, Finished, Job, Matcher, Sampling
from functions.inference.errors import TooCostly, UnsupportedSchema
from functions.inference.grammar.grammar import json_grammar
from functions.inference.llama.backend import LlamaBackend
from functions.inference.llama.runtime import LoadOptions, load_model, start_library
from tests.unit.inference.schemas import HOSTILE, generated

TOKENS = 200
SUSPECT, TURNS = 1.3, 7
"""What looks slower than this is measured again, in so many turns, of which the fastest count."""


def other_s(engine: Engine, matcher: Matcher | None) -> tuple[float, bool]:
    """Seconds for the other caller's answer, and whether the watch ended the one beside it."""
    beside = Job((5, 7, 9), TOKENS, Sampling(temperature=2.0, seed=1, matcher=matcher, ignore_eos=matcher is None))
    other = Job((6, 7, 9), TOKENS, Sampling(ignore_eos=True))
    engine.submit(beside)
    began_s = time.perf_counter()
    engine.submit(other)
    while not isinstance(other.next_event(60), Finished):
        pass
    took_s = time.perf_counter() - began_s
    beside.cancel()
    while not isinstance(last := beside.next_event(60), Finished | Failed):
        pass
    return took_s, isinstance(last, Failed) and isinstance(last.error, TooCostly)


def slowed(engine: Engine, backend: LlamaBackend, schema: Any, turns: int) -> tuple[float, bool]:
    """By which factor, and whether the watch ended the answer. Raises UnsupportedSchema."""
    grammar = json_grammar(schema, "response_format")
    plain, beside = [], []
    for _ in range(turns):
        plain.append(other_s(engine, None)[0])
        beside.append(other_s(engine, backend.grammars.matcher(grammar)))
    return min(took_s for took_s, _ in beside) / min(plain), any(ended for _, ended in beside)


def schemas(count: int) -> Iterator[tuple[str, Any]]:
    yield from HOSTILE.items()
    for seed in range(count):
        yield f"seed {seed}", generated(seed)


def main() -> None:
    start_library()
    handle = load_model(Path(sys.argv[1]), LoadOptions())
    backend = LlamaBackend(handle, sequences=2, context_tokens=512, batch_tokens=64, threads=1)
    engine = Engine(backend, EngineLimits(slots=2))
    engine.start()
    found: list[tuple[float, str, bool]] = []
    for name, schema in schemas(int(sys.argv[2]) if len(sys.argv) > 2 else 200):
        try:
            ratio, ended = slowed(engine, backend, schema, 1)
            if ratio > SUSPECT:
                ratio, ended = slowed(engine, backend, schema, TURNS)
        except UnsupportedSchema:
            continue
        found.append((ratio, name, ended))
    engine.drain(1)
    ratios = [ratio for ratio, _, _ in found]
    print(f"{len(found)} accepted schemas; the other's answer takes, as a multiple of that beside plain text:")
    print(f"median {statistics.median(ratios):.2f}, p99 {statistics.quantiles(ratios, n=100)[98]:.2f}, slowest:")
    for ratio, name, ended in sorted(found, reverse=True)[:8]:
        print(f"  {ratio:.2f}  {name}{' (ended by the watch)' if ended else ''}")


if __name__ == "__main__":
    main()
