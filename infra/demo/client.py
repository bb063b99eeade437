"""HTTP with the standard library: the demo needs nothing that a user of the API would not have."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

TIMEOUT_SECONDS = 60


class DemoError(Exception):
    """Why the walk ended: a sentence for the person at the terminal."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


class Client:
    """Against one base URL; `bearer` is a session token or an API token."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, path: str, body: Any = None, bearer: str = "") -> Answer:
        """Any status comes back as an answer. Raises DemoError when nobody answers."""
        with self._open(method, path, body, bearer) as answer:
            raw = answer.read()
            lowered = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, lowered, json.loads(raw) if raw else None)

    def need(self, status: int, method: str, path: str, body: Any = None, bearer: str = "") -> Answer:
        """The same, with exactly this status. Raises DemoError with what came instead."""
        answer = self.call(method, path, body, bearer)
        if answer.status != status:
            raise DemoError(f"{method} {path} answered {answer.status} instead of {status}: {answer.body}")
        return answer

    def stream(self, path: str, body: Any, bearer: str) -> Iterator[str]:
        """The `data:` of each server-sent event. Raises DemoError unless it is a 200."""
        with self._open("POST", path, body, bearer) as answer:
            if answer.status != 200:
                raise DemoError(f"POST {path} answered {answer.status}: {answer.read().decode(errors='replace')}")
            for line in answer:
                if line.startswith(b"data: "):
                    yield line[6:].decode().strip()

    @contextmanager
    def _open(self, method: str, path: str, body: Any, bearer: str) -> Iterator[Any]:
        headers = {"Accept": "application/json"}
        data = None
        if body is not None:
            headers["Content-Type"], data = "application/json", json.dumps(body).encode()
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        request = urllib.request.Request(self.base_url + path, data, headers, method=method)
        try:
            answer = self._opener.open(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as exc:
            answer = exc
        except OSError as exc:
            reason = getattr(exc, "reason", exc)
            raise DemoError(f"nobody answers at {self.base_url} ({reason}). Is `make up` running?") from exc
        with answer:
            yield answer
