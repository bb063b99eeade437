"""Two gateway processes to race with: real OS processes, each with threads and an Admission of its own.

The parent sends a `Job` through a pipe and gets `Outcomes` back. `time.monotonic_ns` is the same in all processes.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from sluice.adapters.gateway.hot_store import DynamoHotStore
from sluice.domain import errors
from sluice.domain.gateway.admission import AdmissionRequest, Limits
from sluice.domain.ids import request_id
from sluice.domain.usage.pricing import Prices
from sluice.services.gateway.admit import Admission, Admitted
from sluice.services.gateway.settle import Outcome, settle
from tests.integration.gateway.admission.world import DEFAULTS, NOW_MS, NOW_NS, close, hot_store

PROCESSES = 2
ANSWER_SECONDS = 120.0


@dataclass(frozen=True)
class Job:
    """The work of one process: `threads` threads, each `times` times, on a frozen clock."""

    kind: str  # "admit", "storm" or "loop"
    account_id: str
    token_id: str
    reserve_tokens: int = 100
    threads: int = 12
    times: int = 1  # of "loop": refusals in a row, after which it ends
    warm: Limits | None = None  # limits this process has seen before; None = it guesses the defaults
    seed: int = 0
    family: str = ""
    micro_usd: int = 0  # reserved; 0: a model without a price


@dataclass
class Outcomes:
    """What one process saw. Times are `monotonic_ns` of a request's start."""

    admitted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    started_ns: list[tuple[int, bool]] = field(default_factory=list)  # and whether the request was admitted
    left_in_bucket_ns: int = 0  # charged and not released


class Racer:
    """One process's work."""

    def __init__(self, store: DynamoHotStore, job: Job) -> None:
        self.store, self.job, self.outcomes = store, job, Outcomes()
        self.admission = Admission(store, DEFAULTS, self.outcomes.writes.append)
        self._start = threading.Barrier(job.threads)
        self._lock = threading.Lock()

    def run(self) -> Outcomes:
        if self.job.warm is not None:
            grant = self.store.grant(self.job.account_id)
            assert grant is not None
            self.admission.remember(grant)
        work: Callable[[int], None] = getattr(self, "_" + self.job.kind)
        threads = [threading.Thread(target=self._safely, args=(work, n)) for n in range(self.job.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.outcomes

    def _safely(self, work: Callable[[int], None], number: int) -> None:
        try:
            self._start.wait()
            work(number)
        except Exception as exc:  # a failure no test expects: recorded, so that it fails one
            self.outcomes.refused.append(f"{type(exc).__name__}: {exc}")

    def _try(self) -> Admitted | None:
        job = self.job
        names = (job.account_id, request_id(NOW_MS), job.token_id, job.reserve_tokens, "demo", "completions", True)
        prices = Prices(request_micro_usd=job.micro_usd) if job.micro_usd else None
        request = AdmissionRequest(*names, job.family, job.micro_usd, prices)
        try:
            admitted = self.admission.admit(request, NOW_NS)
        except errors.SluiceError as exc:
            self.outcomes.refused.append(type(exc).__name__)
            return None
        self.outcomes.admitted.append(request.request_id)
        return admitted

    def _admit(self, number: int) -> None:
        for _ in range(self.job.times):
            self._try()

    def _loop(self, number: int) -> None:
        """Admit and settle until requests are refused, and record when each started."""
        refused, until = 0, time.monotonic() + ANSWER_SECONDS / 2
        while refused < self.job.times and time.monotonic() < until:
            started_ns = time.monotonic_ns()
            admitted = self._try()
            self.outcomes.started_ns.append((started_ns, admitted is not None))
            refused = 0 if admitted is not None else refused + 1
            if admitted is not None:
                self._settle(admitted, 10)

    def _storm(self, number: int) -> None:
        """Admit and settle with random counts, sometimes twice, as after a lost answer."""
        dice = random.Random(f"{self.job.seed}/{os.getpid()}/{number}")
        for _ in range(self.job.times):
            admitted = self._try()
            if admitted is None:
                continue
            if dice.random() < 0.3:
                time.sleep(dice.random() * 0.01)
            used = dice.randint(0, self.job.reserve_tokens)
            for _ in range(2 if dice.random() < 0.2 else 1):
                self._settle(admitted, used)
            with self._lock:
                self.outcomes.left_in_bucket_ns += admitted.lease.charged_tokens_ns - admitted.lease.unused_ns(used)

    def _settle(self, admitted: Admitted, used: int) -> None:
        outcome = Outcome(200, used // 2, used - used // 2)
        _, released = settle(self.store, self.job.account_id, admitted.request.request_id, admitted.lease, outcome)
        self.admission.remember(released.grant)


def serve(url: str, pipe: Connection) -> None:
    """The child's main: a job, its result, the next, until the job is None."""
    store = hot_store(url)
    while (job := pipe.recv()) is not None:
        pipe.send(Racer(store, job).run())
    close(store)


class Pair:
    """The two processes, from the parent's side."""

    def __init__(self, url: str) -> None:
        context = get_context("spawn")
        self.pipes: list[Connection] = []
        self.children: list[Any] = []
        for _ in range(PROCESSES):
            ours, theirs = context.Pipe()
            child = context.Process(target=serve, args=(url, theirs), daemon=True)
            child.start()
            theirs.close()
            self.pipes.append(ours)
            self.children.append(child)

    def start(self, job: Job) -> None:
        for pipe in self.pipes:
            pipe.send(job)

    def results(self) -> Outcomes:
        """Of both together."""
        both = Outcomes()
        for pipe in self.pipes:
            if not pipe.poll(ANSWER_SECONDS):
                raise RuntimeError("a racing process does not answer")
            one: Outcomes = pipe.recv()
            both.admitted += one.admitted
            both.refused += one.refused
            both.writes += one.writes
            both.started_ns += one.started_ns
            both.left_in_bucket_ns += one.left_in_bucket_ns
        return both

    def run(self, job: Job) -> Outcomes:
        self.start(job)
        return self.results()

    def end(self) -> None:
        for pipe, child in zip(self.pipes, self.children, strict=True):
            pipe.send(None)
            child.join(10)
            if child.is_alive():
                child.kill()
                child.join()
            pipe.close()
            child.close()


@contextmanager
def pair(url: str) -> Iterator[Pair]:
    racing = Pair(url)
    try:
        yield racing
    finally:
        racing.end()
