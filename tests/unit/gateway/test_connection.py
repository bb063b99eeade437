"""Whether the caller is still connected, checked without waiting, on a real connection."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sluice.http.gateway import connection


@dataclass
class Line:
    caller: socket.socket
    server: socket.socket

    def watched(self) -> bool:
        """Whether the watch reports the caller as gone; with a time limit, as in a request."""
        environ = {"gunicorn.socket": self.server}
        connection.limit_waits(environ)
        return connection.watch(environ)()


@pytest.fixture(params=["as it is", "without the state of TCP"])
def line(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    if request.param != "as it is":
        monkeypatch.setattr(connection, "_state", lambda sock: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        caller = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with caller, server:
            yield Line(caller, server)


def test_a_waiting_caller_is_connected(line: Line) -> None:
    assert line.watched() is False


def test_a_caller_who_has_sent_the_next_request_is_connected(line: Line) -> None:
    line.caller.sendall(b"GET / HTTP/1.1\r\n")
    assert line.watched() is False


def test_a_caller_who_closed_is_gone(line: Line) -> None:
    line.caller.close()
    assert line.watched() is True


def test_a_caller_whose_connection_was_reset_is_gone(line: Line) -> None:
    line.caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.caller.close()
    assert line.watched() is True


def test_a_connection_that_is_closed_on_our_side_counts_as_gone(line: Line) -> None:
    environ = {"gunicorn.socket": line.server}
    client_gone = connection.watch(environ)
    line.server.close()
    assert client_gone() is True


def test_where_the_server_shows_no_connection_the_caller_counts_as_connected() -> None:
    assert connection.watch({})() is False
