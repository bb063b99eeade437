"""When the one-machine listener has enough of a request. gunicorn's own reader is the judge of chunked bodies."""

import contextlib
import random
import runpy
import time
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import NoMoreData
from gunicorn.http.unreader import IterUnreader
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.local.incoming import MOST_BODY_BYTES, BodyAwaited, Chunks, Incoming
from infra.local.listener import network
from sluice.domain.documents.uploads import MAX_FILE_BYTES
from sluice.http.app import MAX_BODY_BYTES
from sluice.http.documents.files import FORM_BYTES
from tests.integration.infra.listener.served import CONFIG, head
from tests.slowness import within

BITS = st.sampled_from(
    [
        b"0",
        b"1",
        b"2",
        b"a",
        b"ff",
        b"\r\n",
        b"\r",
        b"\n",
        b"xx",
        b"x",
        b";e=1",
        b";",
        b" ",
        b"-",
        b"+",
        b"_",
        b"T: v",
        b"\0",
    ]
)
CFG = Config()
NEXT = head("/", method="GET")


def incoming() -> Incoming:
    return Incoming(CFG, ("127.0.0.1", 1))


def feed(parser: Incoming, data: bytes) -> bool:
    parser.arrived.data += data
    return parser.ready()


def judged(body: bytes) -> tuple[str, int]:
    """What gunicorn's reader says of a body, and how many bytes it leaves."""

    class Request:
        limit_request_field_size, max_buffer_headers = 8190, 819_204

        def parse_headers(self, data: bytes, from_trailer: bool) -> list[Any]:
            return []

    unreader = IterUnreader(iter([body]))
    reader = ChunkedReader(Request(), unreader)
    try:
        while reader.read(65_536):
            pass
    except NoMoreData:
        return "more", 0
    except Exception as exc:
        more = "ChunkMissingTerminator" in type(exc).__name__ and exc.args == (b"",)
        return ("more" if more else "malformed"), 0
    return "whole", len(unreader.take_buffered())


@settings(max_examples=600, deadline=None)
@given(st.lists(BITS, max_size=14).map(b"".join))
def test_a_body_ends_where_the_reader_says_so(body: bytes) -> None:
    """And a malformed one is handed on, at the latest with the bytes that make it so or the end of its chunk."""
    ended = Chunks().ended(bytearray(body))
    verdict, _ = judged(body)
    if verdict == "whole":
        assert ended
    if verdict == "more" and ended:
        assert judged(body + b"0\r\n\r\n")[0] == "malformed"  # nothing could make it whole


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.randoms(use_true_random=False))
def test_chunks_are_whole_exactly_with_their_last_byte(pieces: list[bytes], chance: random.Random) -> None:
    body = b"".join(b"%x;n=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nT: v\r\n\r\n"
    chunks, data = Chunks(), bytearray()
    while len(data) < len(body):
        assert not chunks.ended(data)
        data += body[len(data) : len(data) + chance.randint(1, 64)]
    assert chunks.ended(data)


@pytest.mark.parametrize(
    "framed", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
def test_a_request_is_ready_with_its_last_byte_and_leaves_the_next(framed: bytes) -> None:
    request = b"\r\nPOST / HTTP/1.1\r\nHost: x\r\n" + framed
    parser = incoming()
    for byte in request[:-1]:
        assert not feed(parser, bytes([byte]))
    assert feed(parser, request[-1:] + NEXT)
    assert next(parser).body.read() == b"hello"
    parser.begin()
    assert parser.ready() and next(parser).method == "GET"


def test_reading_beyond_a_body_that_was_given_up_raises() -> None:
    for end in (NoMoreData, TimeoutError, MemoryError):
        parser = incoming()
        assert not feed(parser, head("/", "Content-Length: 9") + b"abc")
        parser.go_without(end)
        with pytest.raises(end):
            next(parser).body.read()
        assert next(parser).body.refused is end and next(parser).should_close()


def test_a_request_that_awaits_100_continue_begins_again_with_its_body() -> None:
    for framing, body in (("Content-Length: 3", b"abc"), ("Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n")):
        parser = incoming()
        assert feed(parser, head("/", framing, "Expect: 100-continue"))
        with pytest.raises(BodyAwaited):
            next(parser).body.read()
        parser.ask_for_body()
        assert feed(parser, body)
        assert next(parser).body.read() == b"abc" and not next(parser).should_close()


def test_a_flood_of_tiny_chunks_or_trailers_is_refused_within_50_ms_of_cpu() -> None:
    for flood in (b"1\r\nx\r\n" * 170_000, b"0\r\n" + b"T: v\r\n" * 170_000, b"1" + b";" * 1_000_000):
        parser, began = incoming(), time.process_time()
        feed(parser, head("/", "Transfer-Encoding: chunked"))
        for at in range(0, len(flood), 65_536):
            if feed(parser, flood[at : at + 65_536]):
                with pytest.raises(Exception, match=r"chunk|Chunk|line|trailer"):
                    while next(parser).body.read(65_536):
                        pass
                break
        assert within(time.process_time() - began, 0.05)


def test_garbage_never_waits_nor_fails() -> None:
    chance = random.Random(78)
    for _ in range(3000):
        parser = incoming()
        if feed(parser, chance.randbytes(chance.randint(0, 60)) + b"\r\n\r\n"):
            with contextlib.suppress(Exception):
                next(parser)


def test_every_route_refuses_a_large_body_before_the_listener_gives_it_up() -> None:
    assert max(MAX_BODY_BYTES, MAX_FILE_BYTES + FORM_BYTES) < MOST_BODY_BYTES


def test_an_idle_connection_outlives_the_pool_of_a_proxy() -> None:
    """nginx keeps an idle connection for 60 s; ours must last longer, because the proxy might be sending."""
    assert runpy.run_path(str(CONFIG))["keepalive"] > 60


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3::4", 1, 0, 0), "20010db800010002"),
        (("fe80::1%eth0", 1, 0, 2), "fe80000000000000"),
        (("::ffff:192.0.2.7", 1, 0, 0), "::ffff:192.0.2.7"),
        ("", ""),
    ],
)
def test_an_ipv6_client_counts_with_its_whole_network(client: Any, counted: str) -> None:
    assert network(client) == counted
