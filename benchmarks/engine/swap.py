"""What it costs that two models do not fit into the memory together: … swap MODEL.gguf OTHER.gguf [--rounds 5]

Prints how long a swap takes with nothing running, what a request waits for whose model must first be loaded while
another answers, and whether the memory of the process grows with the swaps.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.gateway import processes

ROOT = Path(__file__).parents[2]
ANSWER_TOKENS, WARM_UP_SWAPS, MORE_SWAPS = 64, 2, 10


class Server:
    """The engine with both models, and memory for one."""

    def __init__(self, models: list[Path]) -> None:
        (port,) = processes.free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        largest_mib = max(path.stat().st_size for path in models) >> 20
        settings = {
            "SLUICE_MODELS": ",".join(map(str, models)),
            "SLUICE_INFERENCE_MEMORY_MIB": str(largest_mib + 300),
            "SLUICE_INFERENCE_CONTEXT_TOKENS": "1024",
            "SLUICE_INFERENCE_SLOTS": "4",
            "SLUICE_INFERENCE_BIND": f"127.0.0.1:{port}",
        }
        command = [sys.executable, "-m", "gunicorn", "-c", "functions/inference/gunicorn.conf.py"]
        self.process = subprocess.Popen(
            [*command, "functions.inference.app:create_app()"],
            cwd=ROOT,
            env=os.environ | settings,
            stderr=subprocess.DEVNULL,
        )
        while self.health().get("status") != "ready":
            time.sleep(0.1)

    def health(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:
            if self.process.poll() is not None:
                raise SystemExit("the server did not start") from None
            return {}

    def ask(self, model: str, tokens: int, heard: Any = None) -> tuple[float, float]:
        """Seconds to the first and to the last token. `heard`: called at the first one."""
        body = {"model": model, "prompt": "Count", "max_tokens": tokens, "stream": True, "temperature": 0}
        request = urllib.request.Request(f"{self.url}/v1/completions", json.dumps(body).encode())
        began_s, first_s = time.perf_counter(), 0.0
        with urllib.request.urlopen(request, timeout=600) as answer:
            for line in answer:
                if line.startswith(b"data: {") and not first_s:
                    assert b'"error"' not in line, line
                    first_s = time.perf_counter() - began_s
                    if heard:
                        heard()
        return first_s, time.perf_counter() - began_s

    def resident_mib(self) -> int:
        """Anonymous memory of the worker: without the weights, which are pages of a file."""
        worker = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()[
            0
        ]
        lines = Path(f"/proc/{worker}/status").read_text().splitlines()
        return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("RssAnon"))


def during_an_answer(server: Server, running: str, other: str) -> tuple[float, float]:
    """Seconds that a running answer still takes when another model is asked for, and those to the other's first
    token."""
    begun = threading.Event()
    ended_s: list[float] = []

    def answer() -> None:
        server.ask(running, ANSWER_TOKENS, begun.set)
        ended_s.append(time.perf_counter())

    thread = threading.Thread(target=answer)
    thread.start()
    begun.wait()
    asked_s = time.perf_counter()
    first_s, _ = server.ask(other, 1)
    thread.join()
    return ended_s[0] - asked_s, first_s


def shown(name: str, seconds: list[float]) -> None:
    print(f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {max(seconds):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    names = [path.stem for path in options.models]
    print(f"{', '.join(path.name for path in options.models)}, load {os.getloadavg()[0]:.1f} at the start\n")
    server = Server(options.models)
    try:
        for round_number in range(WARM_UP_SWAPS):
            server.ask(names[round_number % 2], 1)
        loaded, swapped, rest, waited = [], [], [], []
        for _ in range(options.rounds):
            for name in names:
                swapped.append(server.ask(name, 1)[0])
                loaded.append(server.ask(name, 1)[0])
        before_mib = server.resident_mib()
        for _ in range(options.rounds):
            server.ask(names[0], 1)
            for running, other in (names, names[::-1]):
                still_s, first_s = during_an_answer(server, running, other)
                rest.append(still_s)
                waited.append(first_s)
        print("| first token of a short prompt, seconds | median | least | most |\n| --- | ---: | ---: | ---: |")
        shown("the model is loaded", loaded)
        shown("the other must go, and nothing runs", swapped)
        shown(f"the other answers {ANSWER_TOKENS} tokens", waited)
        shown("of these: until that answer has ended", rest)
        for number in range(MORE_SWAPS):
            server.ask(names[number % 2], 1)
        print(f"\nMemory without weights: {before_mib} MiB, {server.resident_mib()} MiB after {MORE_SWAPS} swaps more")
    finally:
        processes.stop(server.process, patience_seconds=40)


if __name__ == "__main__":
    main()
