"""Compressed request bodies, decoded while they are read, so that every limit of a route counts decoded bytes.

No stage holds or makes more than its limit: a body that would grow beyond it is refused where it crosses it. Nothing is
decoded before a route reads its body, which is after authentication.
"""

import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from flask import Request
from werkzeug.wsgi import get_content_length, get_input_stream

from sluice.domain.errors import InvalidEncoding, RequestTooLarge, UnsupportedEncoding

PIECE_BYTES = 64 * 1024
MOST_CODINGS = 3
"""In one body. Each costs up to the limit in CPU, however small the next one is."""
MOST_MEMBERS = 256
"""Of one gzip or zstd body, which may be several in a row (RFC 1952, 2.2)."""
MOST_WINDOW_LOG = 23
"""8 MiB of memory, the most that the coding `zstd` may ask for (RFC 9659, 3)."""
BEGINS_PLAIN = (b"{", b"[", b"-", b" ", b"\r", b"\n", b"\t")
"""A JSON body or a form. API Gateway decodes gzip and deflate itself, and may leave the header (ADR 88)."""
Begin = Callable[[bytes], Any]


def decode(request: Request) -> None:
    """Let the request's body be read decoded. Its readers may raise UnsupportedEncoding, InvalidEncoding,
    RequestTooLarge (a stage has more than the route's `max_content_length`)."""
    environ = request.environ
    named = [coding.strip().lower() for coding in environ.pop("HTTP_CONTENT_ENCODING", "").split(",")]
    codings = [coding for coding in named if coding not in ("", "identity")]
    if not codings:
        return
    raw, encoded_bytes = get_input_stream(environ), get_content_length(environ) or 0
    pieces = _decoded(request, codings, encoded_bytes, iter(partial(raw.read, PIECE_BYTES), b""))
    environ["wsgi.input"] = io.BufferedReader(_Reader(pieces), PIECE_BYTES)
    environ["wsgi.input_terminated"] = True
    environ.pop("CONTENT_LENGTH", None)  # of the encoded body


def _decoded(request: Request, codings: list[str], encoded_bytes: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Runs from the first read on, when the route has set its limit."""
    if unknown := [coding for coding in codings if coding not in CODINGS]:
        raise UnsupportedEncoding(
            f"The content coding {unknown[0][:40]!r} is not supported: use gzip, deflate or zstd."
        )
    if len(codings) > MOST_CODINGS:
        raise InvalidEncoding(f"The body has more than {MOST_CODINGS} content codings.")
    most_bytes = request.max_content_length or 0
    if encoded_bytes > most_bytes:  # before it is read, because the client may wait for `100 Continue`
        raise RequestTooLarge()
    first = next(pieces, b"")
    pieces = _bounded(chain([first] if first else [], pieces), most_bytes)
    if first[:1] in BEGINS_PLAIN and "AWS_LAMBDA_RUNTIME_API" in os.environ:
        codings = []
    for coding in reversed(codings):  # they are named in the order in which they were applied (RFC 9110, 8.4)
        pieces = _bounded(_stage(pieces, CODINGS[coding]), most_bytes)
    yield from pieces


def _bounded(pieces: Iterator[bytes], most_bytes: int) -> Iterator[bytes]:
    """Errors: RequestTooLarge."""
    count = 0
    for piece in pieces:
        count += len(piece)
        if count > most_bytes:
            raise RequestTooLarge()
        yield piece


def _stage(pieces: Iterator[bytes], begin: Begin) -> Iterator[bytes]:
    """Errors: InvalidEncoding."""
    decoder: Any = None
    members = 0
    for piece in pieces:
        held, full = piece, False
        while held or full:
            if decoder is None or decoder.eof:
                if not held:
                    break
                decoder, members = begin(held), members + 1
                if members > MOST_MEMBERS:
                    raise InvalidEncoding()
            out = _step(decoder, held)
            held = decoder.unused_data if decoder.eof else getattr(decoder, "unconsumed_tail", b"")
            full = len(out) == PIECE_BYTES
            yield out
    while decoder is not None and not decoder.eof and (out := _step(decoder, b"")):
        yield out
    if decoder is None or not decoder.eof:
        raise InvalidEncoding("The compressed body is cut off.")


def _step(decoder: Any, data: bytes) -> bytes:
    """At most PIECE_BYTES of output."""
    try:
        out: bytes = decoder.decompress(data, PIECE_BYTES)
    except Exception as exc:  # zlib.error, ZstdError
        raise InvalidEncoding() from exc
    return out


def _deflate(start: bytes) -> Any:
    """`deflate` means zlib's format; some clients send it without zlib's header (RFC 9110, 8.4.1.2)."""
    wrapped = start[0] & 0x0F == 8 and int.from_bytes(start[:2].ljust(2, b"\0"), "big") % 31 == 0
    return zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)


def _zstd(_start: bytes) -> Any:
    if sys.version_info >= (3, 14):  # imported here, because few requests need it
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MOST_WINDOW_LOG})


def _gzip(_start: bytes) -> Any:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


CODINGS: dict[str, Begin] = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "zstd": _zstd}


class _Reader(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
