"""`python -m benchmarks.waiting`: how long requests wait for their turn (`Prefer: wait`), and what they were told.

One account sends 200 streams at once to a model with 4 places; another sends one request after the other meanwhile. The
gateway is that of a local run, the model server a script that holds each place for a time of its own.
"""

import argparse
import http.client
import json
import random
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sluice.adapters.tokens.keys import ensure_keys
from tests import gateway_process
from tests.integration.gateway.admission import engines
from tests.integration.gateway.admission.world import Account, Engine
from tests.integration.gateway.full_engine import FullEngine

PLACES, MANY, SINGLES = 4, 200, 20
COMMENT = re.compile(rb": queue (\d+) of \d+, about (\d+) s")
LIMITS = {"rpm": 100_000, "tpm": 100_000_000, "concurrency": 1_000, "monthly_tokens": 1_000_000_000}
HOLDS: dict[str, Callable[[float], float]] = {
    "equal": lambda mean: mean,
    "exponential": lambda mean: random.expovariate(1 / mean),
}


class TimedEngine(FullEngine):
    def __init__(self, hold: Callable[[], float]) -> None:
        super().__init__(PLACES)
        self._hold = hold

    def take(self, account: str) -> tuple[str, threading.Event]:
        kind, go = super().take(account)
        if kind == "runs":
            threading.Timer(self._hold(), go.set).start()
        return kind, go


@dataclass
class Wait:
    """Place and seconds as the first comment said, and the seconds until the last one; None: it did not wait."""

    told: tuple[int, int] | None
    seconds: float


def ask(port: int, bearer: str) -> Wait:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    body = {"model": "demo", "messages": [{"role": "user", "content": "Go."}], "stream": True}
    headers = {"authorization": f"Bearer {bearer}", "content-type": "application/json", "prefer": "wait=60"}
    began = time.monotonic()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    told = response.getheader("x-sluice-queue-place"), response.getheader("x-sluice-queue-seconds")
    data = b""
    while b"data:" not in data and (more := response.read1()):
        data += more
    seconds = time.monotonic() - began
    data += response.read()
    connection.close()
    assert b"[DONE]" in data, data[-300:]
    return Wait((int(told[0]), int(told[1])) if told[0] and told[1] else None, seconds)


def run(kind: str, mean_s: float) -> str:
    engine = TimedEngine(lambda: HOLDS[kind](mean_s))
    with engines.dynoxide() as url, tempfile.TemporaryDirectory() as folder:
        store, data_dir = Engine("dynoxide", url), Path(folder)
        ensure_keys(data_dir)
        with gateway_process.running(url, data_dir, engine.url) as (port, _):
            many, single = (_bearer(store, data_dir, name) for name in ("tok_many", "tok_single"))
            with ThreadPoolExecutor(MANY + PLACES * 3) as threads:
                list(threads.map(lambda _: ask(port, many), range(PLACES * 3)))  # so that the mean is known
                asked = [threads.submit(ask, port, many) for _ in range(MANY)]
                gateway_waits = lambda: gateway_process.measured(data_dir, "sluice_waiting_requests")  # noqa: E731
                while gateway_waits() < MANY - PLACES - 1:
                    time.sleep(0.05)
                singles = []
                while gateway_waits() > PLACES and len(singles) < SINGLES:
                    singles.append(ask(port, single))
                waits = [one.result() for one in asked]
        store.close()
    engine.stop()
    return _row(kind, mean_s, [wait for wait in waits if wait.told], singles)


def _bearer(store: Engine, data_dir: Path, token_id: str) -> str:
    account = Account(store, LIMITS, token_id=token_id)
    account.write(live={token_id: int(time.time()) + 3600}, period=int(time.strftime("%Y%m", time.gmtime())))
    return gateway_process.api_token(data_dir, account.id, token_id, "inference")


def _row(kind: str, mean_s: float, waits: list[Wait], singles: list[Wait]) -> str:
    """The time of a stream includes the time that its own answer took, in the model's place."""
    pairs = [(wait.told[1], wait.seconds - mean_s) for wait in waits if wait.told]
    errors = sorted(abs(told - true) for told, true in pairs)
    shares = statistics.median((told or 1) / max(0.1, true) for told, true in pairs)
    places = [wait.told[0] for wait in singles if wait.told]
    told = [wait.told[1] for wait in singles if wait.told]
    true = [wait.seconds - mean_s for wait in singles if wait.told]
    cells = (
        f"{kind}, {mean_s:g} s", len(pairs), f"{max(seconds for _, seconds in pairs):.1f}",
        f"{shares:.2f}", f"{statistics.median(errors):.1f} / {errors[int(len(errors) * 0.95)]:.1f}",
        f"{len(singles)}, {max(places, default=0)}", f"{_mean(told):.1f} / {_mean(true):.1f}",
    )  # fmt: skip
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _mean(values: list[int] | list[float]) -> float:
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
