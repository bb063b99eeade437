"""A small pool of keep-alive HTTP/1.1 connections to one origin.

No library is used, because a general client costs several times as much CPU for the two calls of every request
(figures in docs/adr/0006-hot-path-client.md). Redirects, proxies and cookies are left out, because a store or model
behind a fixed address does not use them.
"""

import http.client
import socket
import ssl
from collections import deque
from collections.abc import Callable
from functools import cache, partial
from urllib.parse import urlsplit

Opened = Callable[[float], socket.socket]  # (seconds it may take) → a connected socket


class Connection(http.client.HTTPConnection):
    """Plain or TLS, without Nagle's delay. `used`: whether a request was answered on it before."""

    used = False

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, timeout_seconds: float, opened: Opened | None = None
    ) -> None:
        super().__init__(host, port, timeout=timeout_seconds)
        self._tls, self._timeout_seconds, self._opened = tls, timeout_seconds, opened

    def connect(self) -> None:
        if self._opened is not None:
            self.sock = self._opened(self._timeout_seconds)
            return
        sock = socket.create_connection((self.host, self.port), self.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._tls.wrap_socket(sock, server_hostname=self.host) if self._tls else sock


@cache
def _trusting() -> ssl.SSLContext:
    """One for all, because reading the authorities' certificates takes 20 ms of CPU."""
    return ssl.create_default_context()


class Pool:
    """Hands out the newest connection first, so that the peer closes the ones that stay idle."""

    def __init__(self, url: str, *, connect_seconds: float, keep: int = 64, opened: Opened | None = None) -> None:
        """`url`: http, https, or `unix:PATH` of a Unix socket. `opened` connects in another way than by the address."""
        if url.startswith("unix:"):
            from sluice.adapters.aws.unix_sockets import connected

            url, opened = "http://localhost", partial(connected, url.removeprefix("unix:"))
        self._opened = opened
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http(s) address: {url}")
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.path_prefix = parts.path.rstrip("/")
        default = {"http": 80, "https": 443}[parts.scheme]
        self.host_header = self.host if self.port == default else f"{self.host}:{self.port}"
        self._tls = _trusting() if parts.scheme == "https" else None
        self._connect_seconds = connect_seconds
        self._keep = keep
        self._idle: deque[Connection] = deque()

    def take(self, read_seconds: float, *, fresh: bool = False) -> Connection:
        """A connection that is ready to send. Errors: OSError if it cannot be opened in time."""
        if not fresh:
            while self._idle:
                try:
                    connection = self._idle.pop()
                except IndexError:  # another thread took it first
                    break
                if connection.sock is not None:
                    connection.sock.settimeout(read_seconds)
                    return connection
        connection = Connection(self.host, self.port, self._tls, self._connect_seconds, self._opened)
        connection.connect()
        assert connection.sock is not None
        connection.sock.settimeout(read_seconds)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Return a connection, only after its answer was read to the end."""
        connection.used = True
        if len(self._idle) < self._keep and connection.sock is not None:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the idle connections. Those in use stay open until they are returned."""
        while self._idle:
            self._idle.pop().close()
