"""Callers of several accounts, plain and streamed, of which some disconnect or read slowly; and what they got."""

import json
import random
import threading
import time
from dataclasses import dataclass, field

import requests

from tests.e2e.people import Person

SHORT, LONG = "What is 3 + 4?", "Explain what an API is."
HANGS_UP, READS_SLOWLY = 0.2, 0.3
"""Up to these points of the dice: a caller of a stream vanishes midway, a caller reads slowly."""
SLOW_PIECES = 10


@dataclass
class Answers:
    """By request id, the status of every answer. `silent`: the number of requests without any answer."""

    statuses: dict[str, int] = field(default_factory=dict)
    whole_tokens: dict[str, int] = field(default_factory=dict)  # usage of complete answers, as reported to the caller
    silent: int = 0

    def count(self, status: int) -> int:
        return list(self.statuses.values()).count(status)  # a copy, because callers go on


class Load:
    """`callers` threads for each person, until `stop`. `pause_seconds`: the mean between two requests of a caller."""

    def __init__(self, people: list[Person], callers: int, seed: int, pause_seconds: float = 0.0) -> None:
        self.answers = {person.email: Answers() for person in people}
        self._pause_seconds = pause_seconds
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
            thread.join(300)
            assert not thread.is_alive(), "a caller still waits for its answer"

    def _call(self, person: Person, dice: random.Random) -> None:
        while not self._over.is_set():
            if self._pause_seconds:
                self._over.wait(dice.expovariate(1 / self._pause_seconds))
            if self.ask(person, dice, person.api_token) != 200:
                time.sleep(0.1)

    def ask(self, person: Person, dice: random.Random, api_token: str) -> int:
        """One request of a random kind. Returns its status; 0 if no answer began."""
        answers = self.answers[person.email]
        try:
            return self._one(person, answers, dice, api_token)
        except requests.RequestException:
            with self._lock:
                answers.silent += 1
            return 0

    def _one(self, person: Person, answers: Answers, dice: random.Random, api_token: str) -> int:
        stream, manner = dice.random() < 0.6, dice.random()
        body = {
            "model": "demo",
            "messages": [{"role": "user", "content": dice.choice((SHORT, LONG))}],
            "stream": stream,
            "max_tokens": 150,
        }
        if stream:
            body["stream_options"] = {"include_usage": True}
        headers = {"Authorization": f"Bearer {api_token}", "Connection": "close"}
        url = person.base_url + "/v1/chat/completions"
        with requests.post(url, json=body, headers=headers, timeout=30, stream=True) as answer:
            identifier = answer.headers.get("x-sluice-request-id")
            assert identifier, answer.headers
            with self._lock:
                assert identifier not in answers.statuses
                answers.statuses[identifier] = answer.status_code
            if stream and manner < HANGS_UP:
                next(answer.iter_content(dice.randrange(1, 3000)), None)
                return answer.status_code
            try:
                content = _read(answer, 0.3 if HANGS_UP < manner < READS_SLOWLY else 0.0)
            except requests.RequestException:
                return answer.status_code  # the caller disconnects; it has its id, so there must be a record
            tokens = _usage(content, stream) if answer.status_code == 200 else None
            if tokens is not None:
                with self._lock:
                    answers.whole_tokens[identifier] = tokens
        return answer.status_code


def _read(answer: requests.Response, pause_seconds: float) -> bytes:
    """The whole body, read piece by piece, the first ones with pauses. Errors: requests.RequestException.

    A piece of a stream is one event: with a pause after each, every caller would soon be a slow reader and ask nothing.
    """
    if not pause_seconds:
        return answer.content
    pieces = []
    for piece in answer.iter_content(2048):
        pieces.append(piece)
        if len(pieces) <= SLOW_PIECES:
            time.sleep(pause_seconds)
    return b"".join(pieces)


def _usage(content: bytes, stream: bool) -> int | None:
    """The total tokens that a complete answer reports; None for a stream that ended early."""
    if not stream:
        return int(json.loads(content)["usage"]["total_tokens"])
    events = [line[6:] for line in content.splitlines() if line.startswith(b"data: {")]
    if not content.rstrip().endswith(b"data: [DONE]"):
        return None
    usages = [usage for event in events if (usage := json.loads(event).get("usage"))]
    return int(usages[-1]["total_tokens"]) if usages else None
