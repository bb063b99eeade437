"""Tokens per second by llama.cpp's threads, alone and beside busy processes: … threads MODEL.gguf [--rounds 5]

Each variant is a process of its own, because the way its threads wait is chosen when its library is loaded. The
variants take turns in each round, so that what else the machine does meets all of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from functions.inference.settings import usable_cpus

PROMPT_TOKENS, ANSWER_TOKENS, TOGETHER = 128, 24, 4
WAYS = {"prompt": "a prompt", "alone": "one answer", "together": f"{TOGETHER} answers at once"}
WAITING = {
    "spinning, as libgomp does": {},
    "spinning 2,000 times, then sleeping": {"GOMP_SPINCOUNT": "2000"},
    "sleeping": {"GOMP_SPINCOUNT": "0"},
}
"""How a thread waits for the others after its part of an operation (libgomp's manual, GOMP_SPINCOUNT)."""
SPIN = "while True: pass"


def work(path: str, threads: int) -> None:
    """A variant: a round of all ways for each line that is read."""
    from functions.inference.llama.backend import LlamaBackend
    from functions.inference.llama.runtime import LoadOptions, load_model, start_library

    start_library()
    handle = load_model(Path(path), LoadOptions())
    backend = LlamaBackend(handle, sequences=TOGETHER, context_tokens=512, batch_tokens=512, threads=threads)
    _prompt(backend)
    print("ready", flush=True)
    for _line in sys.stdin:
        found = {"prompt": _prompt(backend), "alone": _answers(backend, 1), "together": _answers(backend, TOGETHER)}
        print(json.dumps(found), flush=True)


def _prompt(backend: Any) -> float:
    """Tokens per second."""
    from functions.inference.engine.backend import Row

    backend.forget(0, 0)
    began_s = time.perf_counter()
    backend.decode([Row(300 + n, n, 0, n == PROMPT_TOKENS - 1) for n in range(PROMPT_TOKENS)])
    return PROMPT_TOKENS / (time.perf_counter() - began_s)


def _answers(backend: Any, width: int) -> float:
    """Tokens per second of all answers."""
    from functions.inference.engine.backend import Row

    for seq in range(TOGETHER):
        backend.forget(seq, 0)
    backend.decode([Row(5, 0, seq, True) for seq in range(width)])
    began_s = time.perf_counter()
    for step in range(1, ANSWER_TOKENS + 1):
        backend.decode([Row(5, step, seq, True) for seq in range(width)])
    return ANSWER_TOKENS * width / (time.perf_counter() - began_s)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Processes beside that never wait."""
    started = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


class Variant:
    def __init__(self, path: Path, threads: int, waits: str) -> None:
        self.threads, self.waits = threads, waits
        command = [sys.executable, "-m", "benchmarks.engine.threads", str(path), "--work", str(threads)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, text=True, env={**os.environ, **WAITING[waits]}, **pipes)
        self.line()
        self.rates: dict[tuple[int, str], list[float]] = {}

    def line(self) -> str:
        assert self._process.stdout is not None
        return str(self._process.stdout.readline())

    def round(self, beside: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        for way, rate in json.loads(self.line()).items():
            self.rates.setdefault((beside, way), []).append(rate)

    def end(self) -> None:
        with suppress(OSError):
            self._process.kill()
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=int, nargs="*", default=[0, 1, usable_cpus()], help="busy processes")
    parser.add_argument("--work", type=int)
    options = parser.parse_args()
    if options.work:
        work(str(options.model), options.work)
        return
    cpus = usable_cpus()
    print(f"{options.model.name}, {cpus} processors, load {os.getloadavg()[0]:.1f} at the start\n")
    counts = sorted({1, max(1, cpus - 1), cpus})
    variants = [Variant(options.model, n, waits) for n in counts for waits in (WAITING if n > 1 else list(WAITING)[:1])]
    try:
        for beside in options.beside:
            with busy(beside):
                for _ in range(options.rounds):
                    for variant in variants:
                        variant.round(beside)
    finally:
        for variant in variants:
            variant.end()
    print_table(variants, options.beside)


def print_table(variants: list[Variant], besides: list[int]) -> None:
    print("| busy processes beside | threads | they wait by | " + " | ".join(WAYS.values()) + " |")
    print("| ---: | ---: | --- |" + " ---: |" * len(WAYS))
    for beside in besides:
        for one in variants:
            rates = (statistics.median(one.rates[beside, way]) for way in WAYS)
            waits = one.waits if one.threads > 1 else "-"
            print(f"| {beside} | {one.threads} | {waits} | " + " | ".join(f"{rate:.1f}" for rate in rates) + " |")


if __name__ == "__main__":
    main()
