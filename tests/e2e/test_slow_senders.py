"""Slow senders, `Expect: 100-continue` and kept connections on the running system, without a proxy."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from tests.e2e import people
from tests.e2e.system import System
from tests.integration.infra.listener.served import Client, head

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.one_machine("its listener")]
JSON = "Content-Type: application/json"


@pytest.fixture(scope="module")
def person(system: System) -> people.Person:
    return people.newcomer(system.base_url)


@pytest.fixture
def connections(system: System) -> Iterator["Connections"]:
    with ExitStack() as stack:
        yield Connections(system.port, stack)


class Connections:
    def __init__(self, port: int, stack: ExitStack) -> None:
        self.port, self.stack = port, stack

    def open(self, sent: bytes) -> Client:
        client = Client(self.stack.enter_context(socket.create_connection(("127.0.0.1", self.port), 60)))
        client.sock.sendall(sent)
        return client


def test_beside_700_slow_senders_everybody_is_served(
    system: System, person: people.Person, connections: Connections
) -> None:
    for number in range(700):
        body = head("/auth/login", JSON, "Content-Length: 100000") + b"{"
        connections.open(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a" if number % 2 else body)
    for _ in range(5):
        for path in ("/healthz", "/login"):
            assert requests.get(system.base_url + path, timeout=people.TIMEOUT_SECONDS).status_code == 200
        assert person.v1("GET", "/v1/models").status_code == 200
    answer = people.ask(person, "What is 3 + 4?")
    assert answer.status_code == 200, answer.text


@pytest.mark.long
def test_a_dripping_head_is_disconnected_although_a_byte_comes_every_moment(connections: Connections) -> None:
    assert connections.open(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a").drip() == b""


def upload(token: str, *more: str) -> tuple[bytes, bytes]:
    fields = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n' + b"word " * 180_000
    body = fields + file + b"\r\n--b--\r\n"
    kind = "Content-Type: multipart/form-data; boundary=b"
    return head("/v1/files", f"Authorization: Bearer {token}", kind, f"Content-Length: {len(body)}", *more), body


def test_a_large_body_is_asked_for_when_the_api_token_is_valid(person: people.Person, connections: Connections) -> None:
    asked, body = upload(person.api_token, "Expect: 100-continue")
    client = connections.open(asked)
    assert client.answer() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sock.sendall(body)
    answer, _, file = client.answer().partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 "), file
    assert json.loads(file)["bytes"] == 900_000
    client.sock.sendall(head("/healthz", method="GET"))  # the connection goes on
    assert client.answer().startswith(b"HTTP/1.1 200 ")


def test_a_body_is_not_asked_for_when_the_api_token_is_not_valid(connections: Connections) -> None:
    client = connections.open(upload("nonsense", "Expect: 100-continue")[0])
    assert client.rest().startswith(b"HTTP/1.1 401 ")


def test_a_body_over_the_limit_is_not_asked_for(person: people.Person, connections: Connections) -> None:
    bearer = f"Authorization: Bearer {person.api_token}"
    client = connections.open(
        head("/v1/chat/completions", bearer, JSON, f"Content-Length: {2 << 20}", "Expect: 100-continue")
    )
    assert client.rest().startswith(b"HTTP/1.1 413 ")
