"""`python -m benchmarks.waiting`: how long requests wait for their turn (`Prefer: wait`), and what they were told.

One account sends 200 streams at once to a model with 4 places; another sends 20 of them, one after the other. The
gateway is that of a local run, the model server a script that holds each place for a time of its own.
"""

import argparse
import http.client
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sluice.adapters.tokens.keys import ensure_keys
from tests import gateway_process
from tests.integration.gateway.admission import engines
from tests.integration.gateway.admission.world import Account, Engine
from tests.integration.gateway.full_engine import FullEngine

PLACES, MANY, SINGLES = 4, 200, 20
LIMITS = {"rpm": 100_000, "tpm": 100_000_000, "concurrency": 1_000, "monthly_tokens": 1_000_000_000}
HOLDS: dict[str, Callable[[float], float]] = {
    "equal": lambda mean: mean,
    "exponential": lambda mean: random.expovariate(1 / mean),
}


class TimedEngine(FullEngine):
    def __init__(self, hold: Callable[[], float]) -> None:
        super().__init__(PLACES)
        self._hold = hold
        self.goes_on = threading.Event()

    def take(self, account: str) -> tuple[str, threading.Event]:
        kind, go = super().take(account)
        if kind == "runs":
            threading.Thread(target=self._end, args=(go,), daemon=True).start()
        return kind, go

    def _end(self, go: threading.Event) -> None:
        self.goes_on.wait()
        time.sleep(self._hold())
        go.set()


@dataclass
class Wait:
    """Place and seconds as it was told, None if it did not wait; when it came, and when its answer began."""

    told: tuple[int, int] | None
    came_s: float
    begun_s: float


def ask(port: int, bearer: str) -> Wait:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    body = {"model": "demo", "messages": [{"role": "user", "content": "Go."}], "stream": True}
    headers = {"authorization": f"Bearer {bearer}", "content-type": "application/json", "prefer": "wait=60"}
    came_s = time.monotonic()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    told = response.getheader("x-sluice-queue-place"), response.getheader("x-sluice-queue-seconds")
    data = b""
    while b"data:" not in data and (more := response.read1()):
        data += more
    begun_s = time.monotonic()
    data += response.read()
    connection.close()
    assert b"[DONE]" in data, data[-300:]
    return Wait((int(told[0]), int(told[1])) if told[0] and told[1] else None, came_s, begun_s)


def run(kind: str, mean_s: float) -> str:
    engine = TimedEngine(lambda: HOLDS[kind](mean_s))
    with engines.dynoxide() as url, tempfile.TemporaryDirectory() as folder:
        store, data_dir = Engine("dynoxide", url), Path(folder)
        ensure_keys(data_dir)
        with gateway_process.running(url, data_dir, engine.url) as (port, _):
            many, single = (_bearer(store, data_dir, name) for name in ("tok_many", "tok_single"))
            with ThreadPoolExecutor(MANY + PLACES) as threads:
                engine.goes_on.set()
                list(threads.map(lambda _: ask(port, many), range(PLACES * 3)))  # so that the mean is known
                engine.goes_on.clear()
                asked = [threads.submit(ask, port, many) for _ in range(MANY)]
                while gateway_process.measured(data_dir, "sluice_waiting_requests") < MANY - PLACES:
                    time.sleep(0.05)
                engine.goes_on.set()
                since_s = time.monotonic()
                singles = [ask(port, single) for _ in range(SINGLES)]
                waits = [one.result() for one in asked]
        store.close()
    engine.stop()
    return _row(kind, mean_s, since_s, waits, singles)


def _bearer(store: Engine, data_dir: Path, token_id: str) -> str:
    account = Account(store, LIMITS, token_id=token_id)
    account.write(live={token_id: int(time.time()) + 3600}, period=int(time.strftime("%Y%m", time.gmtime())))
    return gateway_process.api_token(data_dir, account.id, token_id, "inference")


def _row(kind: str, mean_s: float, since_s: float, waits: list[Wait], singles: list[Wait]) -> str:
    """An answer begins when the model lets its place go, so its wait is shorter by that. The model held everything up
    until `since_s`."""
    pairs = [(one.told[1], one.begun_s - max(since_s, one.came_s) - mean_s) for one in waits if one.told]
    errors = sorted(abs(told - true) for told, true in pairs)
    share = statistics.median(told / max(0.1, true) for told, true in pairs)
    waited = [(*one.told, one.begun_s - one.came_s - mean_s) for one in singles if one.told]
    cells = (
        f"{kind}, {mean_s:g} s", len(pairs), f"{max(true for _, true in pairs):.1f}", f"{share:.2f}",
        f"{statistics.median(errors):.1f} / {errors[int(len(errors) * 0.95)]:.1f}",
        f"{len(waited)} of {len(singles)}, {max((place for place, _, _ in waited), default=0)}",
        f"{_mean([told for _, told, _ in waited]):.1f} / {_mean([true for _, _, true in waited]):.1f}",
    )  # fmt: skip
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _mean(values: Sequence[float]) -> float:
    return statistics.mean(values) if values else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="that a place is held, on average")
    wanted = parser.parse_args()
    print("| a place is held | waited | longest wait s | predicted / true, median | error s, median / p95 |", end="")
    print(" singles, worst place | single predicted / true s, mean |")
    print("| --- " * 7 + "|")
    for kind in HOLDS:
        print(run(kind, wanted.seconds), flush=True)


if __name__ == "__main__":
    main()
