"""Compares the engine with a locked `Llama` and with llama.cpp's server, in one interleaved run.

    python -m benchmarks.engine.run MODEL.gguf [--threads 1] [--tokens 32] [--rounds 1] [--xllamacpp PYTHON]
        [--server PROGRAM] [--libraries FOLDER] [--widths 1 16]

`--xllamacpp` names the interpreter of an environment that has that package, `--server` a build of llama.cpp's server,
`--libraries` a folder with another build of llama.cpp, with which the engine is measured, too ("other"). Each width is
measured for all ways in turn, so that other load affects all of them; compare ratios rather than absolute figures.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import numpy as np

from benchmarks.gateway.matrix import percentile

WIDTHS = (1, 4, 8, 16)
WORKER = Path(__file__).with_name("worker.py")
ROOT = Path(__file__).parents[2]
WORKERS = {"other": "engine"}


class Way:
    """One way of serving, in a worker process."""

    def __init__(self, name: str, python: str, model: Path, threads: int, libraries: Path | None = None) -> None:
        self.name = name
        environment = os.environ | ({} if name == "xllamacpp" else {"PYTHONPATH": str(ROOT)})
        if libraries:
            environment["LLAMA_CPP_LIB_PATH"] = str(libraries)
        command = [python, str(WORKER), WORKERS.get(name, name), str(model), str(threads), str(max(WIDTHS))]
        self._process = Popen(
            command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=environment,
            text=True,
        )
        self._reply()

    def measure(self, width: int, tokens: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"width": width, "tokens": tokens}) + "\n")
        self._process.stdin.flush()
        return self._reply()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the worker {self.name} ended; run it alone to see the error")
        found: dict[str, Any] = json.loads(line)
        return found


def bandwidth_gb_s() -> float:
    """Memory bandwidth of one thread in GB/s, best of five."""
    block = np.ones(1 << 27, np.uint8).view(np.uint64)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        int(block.sum())
        best = max(best, block.nbytes / (time.perf_counter() - began) / 1e9)
    return best


def combine(rounds: list[dict[str, Any]]) -> dict[str, float]:
    firsts = [first * 1000 for one in rounds for first in one["first_s"]]
    return {
        "per_wall_s": statistics.median(one["tokens"] / one["wall_s"] for one in rounds),
        "per_cpu_s": statistics.median(one["tokens"] / one["cpu_s"] for one in rounds),
        "p50_ms": percentile(firsts, 0.5),
        "p95_ms": percentile(firsts, 0.95),
        "peak_mib": max(one["peak_mib"] for one in rounds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--xllamacpp", metavar="PYTHON")
    parser.add_argument("--server", metavar="PROGRAM")
    parser.add_argument("--libraries", metavar="FOLDER", type=Path)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    options = parser.parse_args()

    ways = [Way(name, sys.executable, options.model, options.threads) for name in ("lock", "engine")]
    if options.libraries:
        ways.append(Way("other", sys.executable, options.model, options.threads, options.libraries))
    if options.server:
        os.environ["LLAMA_SERVER"] = options.server
        ways.append(Way("server", sys.executable, options.model, options.threads))
    if options.xllamacpp:
        ways.append(Way("xllamacpp", options.xllamacpp, options.model, options.threads))
    print(f"{options.model.name}, {options.threads} thread(s), {options.tokens} tokens a request")
    print("| way | callers | tokens/s wall | tokens/s CPU | x lock (CPU) | first token p50 ms | p95 ms | peak MiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    single = 0.0
    for width in options.widths:
        rounds: dict[str, list[dict[str, Any]]] = {way.name: [] for way in ways}
        for _ in range(options.rounds):
            for way in ways:
                rounds[way.name].append(way.measure(width, options.tokens))
        lock = combine(rounds["lock"])
        for way in ways:
            got = combine(rounds[way.name])
            single = got["per_wall_s"] if (way.name, width) == ("engine", 1) else single
            ratio = got["per_cpu_s"] / lock["per_cpu_s"]
            print(
                f"| {way.name} | {width} | {got['per_wall_s']:.1f} | {got['per_cpu_s']:.1f} | {ratio:.2f} "
                f"| {got['p50_ms']:.0f} | {got['p95_ms']:.0f} | {got['peak_mib']:.0f} |",
                flush=True,
            )
    for way in ways:
        way.close()
    read_gb_s, machine_gb_s = options.model.stat().st_size * single / 1e9, bandwidth_gb_s()
    share = read_gb_s / machine_gb_s
    print(f"one caller reads {read_gb_s:.1f} GB/s of weights, {share:.0%} of the {machine_gb_s:.1f} possible here")


if __name__ == "__main__":
    main()
