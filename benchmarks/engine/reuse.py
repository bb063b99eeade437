"""Time saved by a shared prefix, and until a cancelled slot is free: python -m benchmarks.engine.reuse MODEL.gguf"""

import statistics
import sys
import time
from pathlib import Path

from functions.inference.engine.engine import Engine, EngineLimits
from functions.inference.engine.jobs import Delta, Finished, Job, Sampling
from functions.inference.llama.backend import LlamaBackend
from functions.inference.llama.runtime import LoadOptions, load_model, start_library

PREFIX_TOKENS = 600


def first_token_s(engine: Engine, prompt: tuple[int, ...]) -> tuple[float, int]:
    began = time.perf_counter()
    job = engine.submit(Job(prompt, 1, Sampling(ignore_eos=True)))
    while not isinstance(job.next_event(600), Delta | Finished):
        pass
    return time.perf_counter() - began, job.cached_tokens


def cancelled_slot_s(engine: Engine, prompt: tuple[int, ...], after_s: float) -> float:
    job = engine.submit(Job(prompt, 1000, Sampling(ignore_eos=True)))
    time.sleep(after_s)
    began = time.perf_counter()
    job.cancel()
    while engine.stats().running:
        time.sleep(0.001)
    return time.perf_counter() - began


def main() -> None:
    start_library()
    handle = load_model(Path(sys.argv[1]), LoadOptions())
    backend = LlamaBackend(handle, sequences=4, context_tokens=2048, batch_tokens=512, threads=1)
    engine = Engine(backend, EngineLimits(slots=4))
    engine.start()
    prefix = tuple(300 + n * 7 % 600 for n in range(PREFIX_TOKENS))
    cold_s, _cached = first_token_s(engine, (*prefix, 301, 302, 303))
    warm_s, cached = first_token_s(engine, (*prefix, 404, 405, 406))
    print(f"{PREFIX_TOKENS}-token prefix: first token after {cold_s:.2f} s cold, {warm_s:.3f} s with {cached} cached")
    generating = [cancelled_slot_s(engine, (5, 6, 7, n), 0.5) * 1000 for n in range(5)]
    other = tuple(300 + n * 11 % 599 for n in range(1500))
    filling = [cancelled_slot_s(engine, (n, *other), 0.7) * 1000 for n in range(5)]
    for what, values in (("while generating", generating), ("in mid-prefill", filling)):
        print(f"cancelled slot free {what}: median {statistics.median(values):.0f} ms, worst {max(values):.0f} ms")
    engine.drain(1)


if __name__ == "__main__":
    main()
