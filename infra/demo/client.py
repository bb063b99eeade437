"""An HTTP client of the standard library only, to show that the API needs no special client."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from infra.place import UP

TIMEOUT_SECONDS = 60


class DemoError(Exception):
    """Why the demo failed, as a sentence for the terminal."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


class Client:
    """A client of one base URL. `bearer` is a session token or an API token."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, path: str, body: Any = None, bearer: str = "") -> Answer:
        """The answer, for any HTTP status. Errors: DemoError if there is no answer."""
        with self._open(method, path, body, bearer) as answer:
            raw = answer.read()
            lowered = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, lowered, json.loads(raw) if raw else None)

    def need(self, status: int, method: str, path: str, body: Any = None, bearer: str = "") -> Answer:
        """The answer, if it has this status. Raises DemoError, which shows the answer, for any other."""
        answer = self.call(method, path, body, bearer)
        if answer.status != status:
            raise DemoError(f"{method} {path} answered {answer.status} instead of {status}: {answer.body}")
        return answer

    def stream(self, path: str, body: Any, bearer: str) -> Iterator[dict[str, Any]]:
        """The chunks of a stream. Raises DemoError for an error, and for a stream that ends without [DONE]."""
        with self._open("POST", path, body, bearer) as answer:
            if answer.status != 200:
                raise DemoError(f"POST {path} answered {answer.status}: {answer.read().decode(errors='replace')}")
            for line in answer:
                if line.strip() == b"data: [DONE]":
                    return
                if line.startswith(b"data: "):
                    chunk = json.loads(line[6:])
                    if "error" in chunk:
                        raise DemoError(f"the stream broke off: {chunk['error']['message']}")
                    yield chunk
        raise DemoError("the stream ended without [DONE]")

    @contextmanager
    def _open(self, method: str, path: str, body: Any, bearer: str) -> Iterator[Any]:
        headers = {"Accept": "application/json"}
        data = None
        if isinstance(body, tuple):  # its content type and its bytes
            headers["Content-Type"], data = body
        elif body is not None:
            headers["Content-Type"], data = "application/json", json.dumps(body).encode()
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        request = urllib.request.Request(self.base_url + path, data, headers, method=method)  # noqa: S310 (the user's own URL)
        try:
            answer = self._opener.open(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as exc:
            answer = exc
        except OSError as exc:
            reason = getattr(exc, "reason", exc)
            raise DemoError(f"nobody answers at {self.base_url} ({reason}). Is `{UP}` running?") from exc
        with answer:
            yield answer
