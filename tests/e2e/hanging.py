"""Requests that hang because the model server is paused, so that each keeps its place and its lease."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.people import Person, ask
from tests.e2e.system import System

PATIENT = {"SLUICE_UPSTREAM_IDLE_SECONDS": "600"}
"""Of the system: else its gateway gives up a model that is silent for 30 s, and a slow test finds nothing waiting."""


@contextmanager
def hanging_requests(system: System, person: Person, count: int) -> Iterator[None]:
    """While open, `count` requests of `person` are admitted and wait for the paused model."""
    assert ask(person, "What is 3 + 4?").status_code == 200  # so that the gateway has read the list of models
    group = os.getpgid(system.pid("inference"))  # gunicorn's master and its worker
    os.killpg(group, signal.SIGSTOP)
    waiting = [threading.Thread(target=ask, args=(person, "What is 3 + 4?")) for _ in range(count)]
    try:
        for thread in waiting:
            thread.start()
        system.wait_until(lambda: reserved(person) >= count)
        yield
    finally:
        os.killpg(group, signal.SIGCONT)
        for thread in waiting:
            thread.join(60)


def reserved(person: Person) -> int:
    """The number of running requests, from the metrics."""
    answer = person.call("GET", "/metrics").text
    return int(sum(float(line.split()[-1]) for line in answer.splitlines() if line.startswith("sluice_running_leases")))
