"""A server between openai-python's own tests, which were written for a mock, and Sluice.

It puts `/v1` before each path, the person's API token into the header, and models and objects that exist in the place
of the mock's names (`gpt-5.4`, `file-abc123`). Each request gets objects of its own, because the tests delete them.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import requests

from tests.e2e.people import TIMEOUT_SECONDS, Person
from tests.servers import Handler, Server

MODELS = {"/chat/completions": "demo", "/completions": "demo", "/embeddings": "all-minilm-l6-v2"}
MODELS |= {"/responses": "demo", "/responses/input_tokens": "demo"}
"""By the path of the call."""
INPUT = ("/responses", "/responses/input_tokens")
"""Paths whose tests ask nothing, which a mock answers."""
STORE = re.compile(r"(?<=^/vector_stores/)(vs_abc123|vector_store_id)")
BATCH = re.compile(r"(?<=/file_batches/)(vsfb_abc123|batch_id)")
OF_ROWS = re.compile(r"(?<=^/batches/)batch_id")
ROW = b'{"custom_id": "%d", "method": "POST", "url": "/v1/responses", "body": {"model": "demo", "input": "hi"}}\n'
ROWS = 200  # so that the batch still runs when it is cancelled
FILE = re.compile(r"(?<=/files/)(file-abc123|file_id)")
RESPONSE = re.compile(r"(?<=^/responses/)(response_id|resp_[0-9a-f]+)")
COMPLETION = re.compile(r"(?<=^/chat/completions/)completion_id")
MODEL = re.compile(r"(?<=^/models/)[^/?]+")


class Rewriting:
    def __init__(self, person: Person, client: openai.OpenAI) -> None:
        self._person, self._client = person, client

    def path(self, path: str) -> str:
        if STORE.search(path):
            store = self._client.vector_stores.create().id
            path = self._attached(store, STORE.sub(store, path))
        fresh = {
            FILE: self._file,
            OF_ROWS: self._batch,
            RESPONSE: self._response,
            COMPLETION: self._completion,
            MODEL: lambda: "demo",
        }
        for pattern, make in fresh.items():
            if pattern.search(path):
                path = pattern.sub(make(), path)
        return "/v1" + path

    def _attached(self, store: str, path: str) -> str:
        """The file or batch of a store's path exists in the store."""
        files = self._client.vector_stores
        if BATCH.search(path):
            return BATCH.sub(files.file_batches.create(store, file_ids=[self._file()]).id, path)
        if FILE.search(path):
            file = self._file()
            files.files.create_and_poll(file, vector_store_id=store, poll_interval_ms=100)
            return FILE.sub(file, path)
        return path

    def _file(self) -> str:
        return self._client.files.create(file=("tea.txt", b"Oolong is a tea."), purpose="assistants").id

    def _rows(self) -> str:
        rows = b"".join(ROW % number for number in range(ROWS))
        return self._client.files.create(file=("rows.jsonl", rows), purpose="batch").id

    def _batch(self) -> str:
        made = self._client.batches.create(
            input_file_id=self._rows(), endpoint="/v1/responses", completion_window="24h"
        )
        return made.id

    def _response(self) -> str:
        return self._client.responses.create(model="demo", input="hi", max_output_tokens=5).id

    def _completion(self) -> str:
        """Its question is an assistant's, because the SDK's strict mode knows no other role of a stored message."""
        messages: Any = [{"role": "assistant", "content": "hi"}]
        made = self._client.chat.completions.create(model="demo", messages=messages, store=True, max_tokens=5)
        return made.id

    def body(self, path: str, raw: bytes) -> bytes:
        body: dict[str, Any] = json.loads(raw or b"{}")
        fresh: dict[str, Callable[[], Any]] = {
            "file_id": self._file,
            "input_file_id": self._rows,
            "file_ids": lambda: [self._file()],
            "files": lambda: [one | {"file_id": self._file()} for one in body["files"]],
            "previous_response_id": self._response,
        }
        made = {name: make() for name, make in fresh.items() if body.get(name)}
        if path in MODELS:
            made["model"] = MODELS[path]
        asked = {"input": "hi"} if path in INPUT else {}
        return json.dumps(asked | body | made).encode()

    def sent(self, method: str, path: str, headers: dict[str, str], body: bytes) -> requests.Response:
        if headers.get("content-type") == "application/json":
            body = self.body(path, body)
        kept = {name: value for name, value in headers.items() if name not in ("host", "content-length", "connection")}
        kept["authorization"] = f"Bearer {self._person.api_token}"
        return requests.request(
            method, self._person.base_url + self.path(path), headers=kept, data=body, timeout=TIMEOUT_SECONDS
        )


@contextmanager
def serving(person: Person) -> Iterator[str]:
    """Yields the address for the tests."""
    with (
        openai.OpenAI(base_url=person.base_url + "/v1", api_key=person.api_token, max_retries=0) as client,
        Server(_handler(Rewriting(person, client))) as server,
    ):
        yield server.url


def _handler(rewriting: Rewriting) -> type[Handler]:
    class Requests(Handler):
        def _any(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = rewriting.sent(self.command, self.path, headers, self.body())
            kept = {name: answer.headers[name] for name in ("content-type", "x-request-id") if name in answer.headers}
            self.answer(answer.status_code, answer.content, **kept)

        do_GET = do_POST = do_DELETE = _any

    return Requests
