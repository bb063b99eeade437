"""Callers of several accounts, plain and streamed, of which some disconnect; and a record of the answers they got."""

import random
import threading
import time
from dataclasses import dataclass, field

import requests

from tests.e2e.people import Person

SHORT, LONG = "What is 3 + 4?", "Explain what an API is."


@dataclass
class Answers:
    """By request id, the status of every answer. `silent`: the number of requests without any answer."""

    statuses: dict[str, int] = field(default_factory=dict)
    whole_tokens: dict[str, int] = field(default_factory=dict)  # usage of complete answers, as reported to the caller
    silent: int = 0

    def count(self, status: int) -> int:
        return sum(1 for one in self.statuses.values() if one == status)


class Load:
    """`callers` threads for each person, until `stop`."""

    def __init__(self, people: list[Person], callers: int, seed: int) -> None:
        self.answers = {person.email: Answers() for person in people}
        self._over, self._lock = threading.Event(), threading.Lock()
        self._threads = [
            threading.Thread(target=self._call, args=(person, random.Random(f"{seed}/{person.email}/{number}")))
            for person in people
            for number in range(callers)
        ]

    def start(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "a caller still waits for its answer"

    def _call(self, person: Person, dice: random.Random) -> None:
        answers = self.answers[person.email]
        while not self._over.is_set():
            try:
                self._one(person, answers, dice)
            except requests.RequestException:
                with self._lock:
                    answers.silent += 1
                time.sleep(0.1)

    def _one(self, person: Person, answers: Answers, dice: random.Random) -> None:
        stream, hang_up = dice.random() < 0.6, dice.random() < 0.2
        body = {
            "model": "demo",
            "messages": [{"role": "user", "content": dice.choice((SHORT, LONG))}],
            "stream": stream,
            "max_tokens": 150,
        }
        headers = {"Authorization": f"Bearer {person.api_token}", "Connection": "close"}
        url = person.base_url + "/v1/chat/completions"
        with requests.post(url, json=body, headers=headers, timeout=30, stream=True) as answer:
            identifier = answer.headers.get("x-sluice-request-id")
            assert identifier, answer.headers
            with self._lock:
                assert identifier not in answers.statuses
                answers.statuses[identifier] = answer.status_code
            if stream and hang_up:
                next(answer.iter_content(200), None)
                return
            try:
                _ = answer.content
            except requests.RequestException:
                return  # the caller disconnects; it has its id, so there must be a record
            if answer.status_code == 200 and not stream:
                with self._lock:
                    answers.whole_tokens[identifier] = answer.json()["usage"]["total_tokens"]
        if answer.status_code != 200:
            time.sleep(0.1)
