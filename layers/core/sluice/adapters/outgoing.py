"""One exchange with a server that a stranger may have named: a few seconds and bytes at most, whatever it does.

A socket's timeout begins anew with each byte, so a timer ends the exchange. Redirects are not followed.
"""

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread, Timer
from typing import Any
from urllib.parse import urlsplit

ERRORS = (OSError, http.client.HTTPException, ValueError)  # ValueError: a header that is none; a socket that was shut


@dataclass(frozen=True)
class Bounds:
    """`seconds`: from the connection to the end of the answer. `most_bytes`: of the answer that are read."""

    connect_seconds: float
    seconds: float
    most_bytes: int


class NotAllowed(OSError):
    """The name leads to an address that may not be reached."""


def exchange(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | str | None,
    bounds: Bounds,
    allowed: Callable[[str], bool] | None = None,
) -> tuple[int, bytes]:
    """→ status, and the answer's first bytes. `allowed`: says of each address of the host whether it may be reached;
    the connection then goes to the address that was asked about, whatever the name leads to a moment later.
    Errors: ERRORS."""
    parts = urlsplit(url)
    is_tls, host = parts.scheme == "https", parts.hostname or ""
    port = parts.port or (443 if is_tls else 80)
    context = ssl.create_default_context() if is_tls else None
    connection = (
        http.client.HTTPSConnection(host, parts.port, context=context)
        if context
        else http.client.HTTPConnection(host, parts.port)
    )
    place = _checked(host, port, allowed, bounds.connect_seconds) if allowed else (host, port)
    sock = socket.create_connection(place, bounds.connect_seconds)
    sock.settimeout(bounds.seconds)
    is_over = Event()
    timer = Timer(bounds.seconds, lambda: _end(sock, is_over))
    timer.daemon = True
    try:
        if context:
            sock = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        timer.start()
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        connection.sock = sock  # `connection` forgets it where the answer ends with it, before its body is read
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, dict(headers))
        answer = connection.getresponse()
        status, raw = answer.status, answer.read(bounds.most_bytes) if bounds.most_bytes else b""
        if not is_over.is_set():  # what a shut socket gave looks like an end
            return status, raw
    except ERRORS:
        if not is_over.is_set():
            raise
    finally:
        timer.cancel()
        connection.close()
        sock.close()
    raise TimeoutError("the answer was not complete in time")


def _checked(host: str, port: int, allowed: Callable[[str], bool], seconds: float) -> tuple[str, int]:
    """The first address of the host. Errors: NotAllowed, if any of them may not be reached; OSError."""
    addresses = [str(one[4][0]) for one in _resolved(host, port, seconds)]
    if not all(map(allowed, addresses)):
        raise NotAllowed(host)
    return addresses[0], port


def _resolved(host: str, port: int, seconds: float) -> list[Any]:
    """By a thread of its own, because nothing else bounds how long a stranger's name server takes. Errors: OSError."""
    found: list[Any] = []

    def resolve() -> None:
        with suppress(OSError, UnicodeError):
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    thread = Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise socket.gaierror("the name leads nowhere")
    return list(found)


def _end(sock: socket.socket, is_over: Event) -> None:
    is_over.set()
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
