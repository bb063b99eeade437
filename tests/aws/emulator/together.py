"""Concurrent calls, each in its own environment of the gateway: Lambda gives each one request at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import requests

from tests.e2e.people import Person

PATIENCE_SECONDS = 120.0


def together(count: int, call: Callable[[], requests.Response]) -> list[requests.Response]:
    barrier = Barrier(count)

    def one(_: int) -> requests.Response:
        barrier.wait(PATIENCE_SECONDS)
        return call()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def warmed_up(person: Person, count: int) -> None:
    """Start this many environments of the gateway with calls that are not charged."""
    for _ in range(2):  # the first call of an environment takes seconds, so all of the first wave get one each
        answers = together(count, lambda: person.v1("GET", "/v1/models"))
        assert [answer.status_code for answer in answers] == [200] * count, [answer.text for answer in answers]
