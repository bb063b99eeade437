"""An HTTP response read from a socket: the same however the network cuts it; anything else is refused."""

import socket
from collections.abc import Iterable, Iterator
from http.client import BadStatusLine, HTTPException, IncompleteRead
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.adapters.aws import http_answer
from sluice.adapters.aws.http_answer import Answer

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5;note=1\r\nde\r\nf\r\n0\r\nX-Late: 1\r\n\r\n"
PLAIN = CHUNKED.replace(b"X-Late: 1\r\n", b"")
SIZED = HEAD + b"Content-Length: 8\r\n\r\nabcde\r\nf"
BODY = b"abcde\r\nf"


class Wire:
    """Stands for a socket: each receive gives one of the pieces, then the end of the connection."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)

    def recv(self, _size: int) -> bytes:
        return next(self._pieces, b"")


def answer(*pieces: bytes) -> Answer:
    wire: socket.socket = Wire(pieces)  # type: ignore[assignment]
    return Answer(wire)


@pytest.mark.parametrize("message", [CHUNKED, PLAIN, SIZED], ids=["chunked", "without trailers", "sized"])
def test_an_answer_is_the_same_wherever_it_is_cut(message: bytes) -> None:
    for cut in range(1, len(message)):
        whole = answer(message[:cut], message[cut:])
        assert (whole.status, whole.read(100), whole.reusable) == (200, BODY, True), cut


@pytest.mark.parametrize("message", [CHUNKED, PLAIN, SIZED], ids=["chunked", "without trailers", "sized"])
def test_an_answer_may_come_byte_by_byte(message: bytes) -> None:
    whole = answer(*[bytes([byte]) for byte in message])
    assert whole.read(100) == BODY
    assert whole.reusable


@pytest.mark.parametrize("message", [CHUNKED, PLAIN, SIZED], ids=["chunked", "without trailers", "sized"])
def test_an_answer_that_breaks_off_anywhere_is_an_error(message: bytes) -> None:
    for cut in range(1, len(message)):
        with pytest.raises(IncompleteRead):
            answer(message[:cut]).read(100)


def test_received_data_is_returned_without_waiting_for_more() -> None:
    first = answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n9\r\nde", b"fghijkl\r\n0\r\n\r\n")
    assert [first.read1() for _ in range(3)] == [b"abcde", b"fghijkl", b""]


def test_an_empty_answer_means_that_the_connection_was_closed_before() -> None:
    with pytest.raises(BadStatusLine):
        answer()


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    old = answer(b"HTTP/1.0 200 OK\r\n\r\nabc", b"def")
    assert old.read(100) == b"abcdef"
    assert not old.reusable


@pytest.mark.parametrize("head", [b"Connection: close\r\nContent-Length: 1\r\n", b"Content-Length: 0\r\n"])
def test_a_connection_is_reused_only_if_the_peer_keeps_it_and_no_data_is_left(head: bytes) -> None:
    done = answer(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n", b"x")
    done.read(10)
    assert done.reusable is (b"close" not in head)
    assert not answer(SIZED + b"more").reusable


def test_interim_answers_are_skipped() -> None:
    assert answer(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SIZED).read(100) == BODY


def test_header_names_are_lower_case() -> None:
    assert answer(b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n").headers[b"retry-after"] == b"7"


@pytest.mark.parametrize(
    "message",
    [
        b"220 mail.example ready\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\nabc",
        HEAD + b"Content-Length: 1e3\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000,
    ],
)
def test_an_answer_that_is_not_http_is_an_error(message: bytes) -> None:
    with pytest.raises(HTTPException):
        answer(message, b"").read(100)


def test_a_body_longer_than_the_limit_is_an_error() -> None:
    with pytest.raises(HTTPException):
        answer(SIZED).read(7)


@pytest.mark.parametrize(
    "message", [HEAD * 9 + b"\r\n", CHUNKED, SIZED, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 500], ids=len
)
def test_bytes_that_come_one_by_one_have_a_limited_time(message: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes on by a second with each byte."""
    now = [0.0]
    monkeypatch.setattr(http_answer, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def slowly() -> Iterator[bytes]:
        for byte in message:
            now[0] += 1
            yield bytes([byte])

    wire: Any = Wire(slowly())
    with pytest.raises(TimeoutError):
        Answer(wire, len(message) / 2).read(1_000)
    assert now[0] <= len(message) / 2 + 2


def test_interim_answers_have_an_end() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert answer(interim * 3 + SIZED).read(100) == BODY
    with pytest.raises(HTTPException, match="interim"):
        answer(interim * 1_000)


def test_a_length_of_many_digits_is_refused() -> None:
    with pytest.raises(HTTPException, match="not a number"):
        answer(HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n")
