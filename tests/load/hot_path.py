"""By hand: how many requests a second the two hot writes carry, and what they cost this process.

    python -m tests.load.hot_path [--disk FOLDER] [--seconds 5] [--threads 1 8 16]

One account, no limit in the way: admit, then settle, over a Dynoxide of its own (in memory, or with its file in FOLDER:
then each write waits for the disk). Prints requests a second, CPU and wall time of one request, and the writes each
admission took.
"""

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sluice.domain.ids import request_id
from sluice.services.gateway.admit import Admission
from sluice.services.gateway.settle import Outcome, settle
from tests.integration.gateway.admission.world import Account, Engine
from tests.store_process import running_store

LIMITS = {"rpm": 100_000_000, "tpm": 10**12, "concurrency": 1000, "monthly_tokens": 10**15}


class Run:
    """`threads` at once for `seconds`, against one account."""

    def __init__(self, engine: Engine, threads: int, seconds: float) -> None:
        self.account = Account(engine, LIMITS)
        self.account.write(live={self.account.token_id: int(time.time()) + 3600})
        self.writes: Counter[int] = Counter()
        self.latencies: list[float] = []
        self._admission = Admission(engine.store, self.account.limits, lambda n: self.writes.update([n]))
        self._until = time.monotonic() + seconds
        started, cpu = time.monotonic(), time.process_time()
        workers = [threading.Thread(target=self._work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.wall, self.cpu, self.threads = time.monotonic() - started, time.process_time() - cpu, threads

    def _work(self) -> None:
        while time.monotonic() < self._until:
            started, now_ns = time.perf_counter(), time.time_ns()
            request = self.account.ask(100, identifier=request_id(now_ns // 1_000_000))
            admitted = self._admission.admit(request, now_ns)
            _, after = settle(
                self.account.store, self.account.id, request.request_id, admitted.lease, Outcome(200, 20, 30)
            )
            self._admission.remember(after.grant)
            self.latencies.append(time.perf_counter() - started)

    def line(self) -> str:
        count, ordered = len(self.latencies), sorted(self.latencies)
        p50, p99 = (1000 * ordered[int(share * (count - 1))] for share in (0.5, 0.99))
        spread = ", ".join(f"{n}: {100 * times / count:.1f} %" for n, times in sorted(self.writes.items()))
        return (
            f"{self.threads:3} threads  {count / self.wall:7.0f} requests/s  {1e6 * self.cpu / count:6.0f} us CPU each "
            f"p50 {p50:6.2f} ms  p99 {p99:7.2f} ms  writes per admission {spread}"
        )


@contextmanager
def _store(disk: str | None) -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=disk) as folder, running_store(Path(folder) / "db" if disk else None) as found:
        yield found[0]


def main() -> None:
    asked = argparse.ArgumentParser(description="the two hot writes, as fast as they go")
    asked.add_argument("--disk", help="keep the store's file in this folder (default: in memory)")
    asked.add_argument("--seconds", type=float, default=5.0)
    asked.add_argument("--threads", type=int, nargs="+", default=[1, 8, 16])
    wanted = asked.parse_args()
    with _store(wanted.disk) as url:
        engine = Engine("dynoxide", url)
        for threads in wanted.threads:
            print(Run(engine, threads, wanted.seconds).line(), flush=True)
        engine.close()


if __name__ == "__main__":
    main()
