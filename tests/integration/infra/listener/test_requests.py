"""Bodies, kept connections and `Expect` on the one-machine listener."""

import gzip
import json
import socket
import time
from contextlib import suppress

import pytest

from tests.integration.infra.listener.served import Served, head
from tests.waiting import eventually

GET = head("/healthz", method="GET")
CHUNKED = head("/echo", "Transfer-Encoding: chunked")


def test_requests_one_after_another_use_one_connection(patient: Served) -> None:
    with patient.open() as client:
        for _ in range(3):
            client.sock.sendall(GET)
            assert client.answer().endswith(b"well")


@pytest.mark.parametrize(("path", "size"), [("/refused", 900_000), ("/echo", 2 << 20), ("/echo", 5 << 20)])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_connection_outlives_a_body_that_was_not_read(patient: Served, path: str, size: int, chunked: bool) -> None:
    body = b"x" * size
    if chunked:
        request = head(path, "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
    else:
        request = head(path, f"Content-Length: {size}") + body
    with patient.open(request) as client:
        assert b"Connection: keep-alive" in client.answer()
        client.sock.sendall(GET)
        assert client.answer().endswith(b"well")


def test_pipelined_requests_are_answered_in_order(patient: Served) -> None:
    posts = [head("/echo", f"Content-Length: {number}") + b"x" * number for number in range(20)]
    with patient.open(
        b"".join(posts) + head("/echo", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n" + GET
    ) as client:
        for number in range(20):
            assert client.answer().endswith(b"\r\n%d bytes" % number)
        assert client.answer().endswith(b"\r\n3 bytes")
        assert client.answer().endswith(b"well")


def test_a_request_may_arrive_byte_by_byte(patient: Served) -> None:
    with patient.open() as client:
        for request in (
            GET,
            head("/echo", "Content-Length: 3") + b"abc",
            CHUNKED + b"3;a=b\r\nabc\r\n0\r\nT: x\r\n\r\n",
        ):
            for byte in request:
                client.sock.sendall(bytes([byte]))
                time.sleep(0.001)
            assert b" 200 " in client.answer()


@pytest.mark.parametrize(
    "body",
    [
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"2\n{}\n0\n\n",
        b"2\r\n{}xx\r\n0\r\n\r\n",
        b"-2\r\n",
        b"\r\n",
        b"1_0\r\n",
        b"2;\x00\r\n{}\r\n0\r\n\r\n",
        b"0\r\nbad trailer\n\n",
        b"f" * 9000,
        b"fffffffffffffffff\r\n",
        b"1\r\nx\r\n" * 4097,
    ],
)
def test_malformed_chunks_are_400_at_once(patient: Served, body: bytes) -> None:
    with patient.open(CHUNKED + body) as client:
        assert client.rest().startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("sent", [CHUNKED + b"5\r\nab", head("/echo", "Content-Length: 5") + b"ab"])
def test_a_body_that_is_cut_off_is_400(patient: Served, sent: bytes) -> None:
    with patient.open(sent) as client:
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest().startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("framing", [f"Content-Length: {20 << 20}", "Transfer-Encoding: chunked"])
def test_the_refusal_of_a_body_that_is_too_large_can_be_read_while_it_is_sent(patient: Served, framing: str) -> None:
    begun = b"1400000\r\n" if "chunked" in framing else b""
    with patient.open(head("/echo", framing), begun) as client:
        for _ in range(100):
            client.sock.sendall(b"x" * 65_536)
        assert client.answer().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000, 431),
        (b"GET /" + b"a" * 70_000, 414),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"\0\0\r\n\r\n", 400),
        (head("/echo", "Content-Length: 1", "Transfer-Encoding: chunked"), 400),
        (head("/echo", "Transfer-Encoding: br"), 501),
        (head("/echo", "Transfer-Encoding: gzip, chunked"), 501),
        (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 400),
        (head("/echo", "Content-Length: 5", "Expect: a-miracle"), 417),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /<script> HTTP/9\r\nHost: x\r\n\r\n", 400),
    ],
)
def test_heads_that_can_never_be_right_are_refused_at_once(patient: Served, sent: bytes, status: int) -> None:
    with patient.open(sent) as client:
        start, _, body = client.rest().partition(b"\r\n\r\n")
        assert start.startswith(b"HTTP/1.1 %d " % status) and b"application/problem+json" in start
        problem = json.loads(body)
        assert (problem["status"], problem["code"]) == (status, "bad_request") and b"script" not in body
        assert f"x-request-id: {problem['request_id']}".encode() in start


@pytest.mark.parametrize(
    ("framing", "body"),
    [("Content-Length: 900000", b"x" * 900_000), ("Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n")],
)
def test_100_continue_is_sent_when_the_view_reads_the_body(patient: Served, framing: str, body: bytes) -> None:
    with patient.open(head("/echo", framing, "Expect: 100-continue")) as client:
        assert client.answer() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sock.sendall(body)
        assert client.answer().startswith(b"HTTP/1.1 200 ")
        client.sock.sendall(GET)  # the connection goes on
        assert client.answer().endswith(b"well")


@pytest.mark.parametrize(
    ("path", "size", "status"), [("/refused", 900_000, 401), ("/echo", 2 << 20, 413), ("/echo", 20 << 20, 413)]
)
def test_a_refusal_comes_instead_of_100_continue(patient: Served, path: str, size: int, status: int) -> None:
    with patient.open(head(path, f"Content-Length: {size}", "Expect: 100-continue")) as client:
        answer = client.rest()
    assert answer.startswith(b"HTTP/1.1 %d " % status) and b"Connection: close" in answer


def test_a_client_need_not_wait_for_100_continue(patient: Served) -> None:
    with patient.open(head("/echo", "Content-Length: 3", "Expect: 100-continue") + b"abc") as client:
        assert client.answer().startswith(b"HTTP/1.1 200 ")


def test_a_body_that_was_asked_for_and_does_not_come_is_408(quick: Served) -> None:
    with quick.open(head("/echo", "Content-Length: 3", "Expect: 100-continue")) as client:
        assert client.answer() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert client.rest().startswith(b"HTTP/1.1 408 ")


@pytest.mark.long
def test_a_request_near_the_idle_limit_is_answered_or_finds_the_connection_closed(quick: Served) -> None:
    """Never half of an answer, and no answer to a request that came before the limit (1 s) is lost."""
    for wait_s in (0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.5, 2.5):
        with quick.open() as client:
            began_s, piece = time.monotonic(), b""
            client.sock.sendall(GET)
            assert client.answer().endswith(b"well")
            time.sleep(wait_s)
            with suppress(ConnectionError):
                try:
                    client.sock.sendall(GET)
                finally:
                    came_s = time.monotonic() - began_s
                piece = client.sock.recv(1)
            if piece:
                assert client.answer().endswith(b"well")
            assert piece or came_s >= 1
    with quick.open(GET) as client:
        assert client.answer().endswith(b"well")
        assert client.rest() == b"", "the limit closes it"


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", gzip.compress(b"x" * 900_000, mtime=0), 200),
        ("gzip", b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n" * 9, 400),
        ("gzip", gzip.compress(b"x", mtime=0) + b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("zstd", gzip.compress(b"x", mtime=0), 400),
        ("br", b"x" * 900, 415),
        ("gzip", gzip.compress(bytes(20 << 20), mtime=0), 413),
    ],
)
def test_a_compressed_body_ends_where_its_request_ends(patient: Served, coding: str, body: bytes, status: int) -> None:
    """However it is decoded, the next request on the connection is the next one that was sent."""
    encoded = head("/v1/echo", f"Content-Length: {len(body)}", f"Content-Encoding: {coding}") + body
    with patient.open(encoded + GET) as client:
        first = client.answer()
        assert first.startswith(b"HTTP/1.1 %d " % status)
        assert (b"900000 bytes" in first) is (status == 200)
        assert client.answer().endswith(b"well")


def test_a_chunked_body_is_decoded_too(patient: Served) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in gzip.compress(b"abc")) + b"0\r\n\r\n"
    with patient.open(head("/v1/echo", "Transfer-Encoding: chunked", "Content-Encoding: gzip") + chunks) as client:
        assert client.answer().endswith(b"3 bytes")


def test_a_compressed_body_is_asked_for_only_if_it_can_be_small_enough(patient: Served) -> None:
    for size, status in ((20, 100), (2 << 20, 413)):
        asking = head("/v1/echo", f"Content-Length: {size}", "Content-Encoding: gzip", "Expect: 100-continue")
        with patient.open(asking) as client:
            assert client.answer().startswith(b"HTTP/1.1 %d " % status)


KNOWN = "Authorization: Bearer x"
LARGE = f"Content-Length: {20 << 20}"


@pytest.mark.parametrize("path", ["/v1/files", "/v1/uploads/upload_x/parts"])
@pytest.mark.parametrize("expects", [False, True])
def test_a_large_file_is_read_while_it_arrives(patient: Served, expects: bool, path: str) -> None:
    with patient.open(head(path, KNOWN, LARGE, *(["Expect: 100-continue"] if expects else []))) as client:
        if expects:
            assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        for _ in range(320):
            client.sock.sendall(b"x" * 65_536)
        assert client.rest().endswith(b"\r\n20971520 bytes")


def test_a_large_file_of_an_unknown_caller_is_refused_before_it_arrives(patient: Served) -> None:
    with patient.open(head("/v1/files", LARGE)) as client:
        assert client.rest().startswith(b"HTTP/1.1 401 ")


def test_a_large_file_that_is_cut_off_is_400(patient: Served) -> None:
    with patient.open(head("/v1/files", KNOWN, LARGE), b"x" * 6_000_000) as client:
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest().startswith(b"HTTP/1.1 400 ")


def test_a_large_file_that_drips_is_408(quick: Served) -> None:
    with quick.open(head("/v1/files", KNOWN, LARGE)) as client:
        assert client.drip().startswith(b"HTTP/1.1 408 ")


def test_only_so_many_large_files_are_read_at_once(patient: Served) -> None:
    held = [patient.open(head("/v1/files", KNOWN, LARGE), b"x") for _ in range(8)]
    try:
        with patient.open(head("/v1/files", KNOWN, LARGE), b"x") as client:
            assert client.rest().startswith(b"HTTP/1.1 503 ")
    finally:
        for client in held:
            client.sock.close()
    eventually(lambda: takes_a_large_file(patient))  # when the threads have noticed


def takes_a_large_file(patient: Served) -> bool:
    with suppress(ConnectionError), patient.open(head("/v1/files", KNOWN, LARGE)) as client:
        for _ in range(320):
            client.sock.sendall(b"x" * 65_536)
        return b" 200 " in client.rest()
    return False
