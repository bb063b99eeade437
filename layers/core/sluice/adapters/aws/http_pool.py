"""A small pool of keep-alive HTTP/1.1 connections to one origin, over the standard library's client.

Why not a library: the two calls that every request makes cost several times as much through a general client
(figures in docs/adr/0006-hot-path-client.md). What it leaves out (redirects, proxies, cookies) a store or a model
behind a fixed address does not need.
"""

import http.client
import socket
import ssl
from collections import deque
from urllib.parse import urlsplit


class Connection(http.client.HTTPConnection):
    """Plain or TLS, without Nagle's delay. `used` tells whether a request was answered on it before."""

    used = False

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, timeout_seconds: float) -> None:
        super().__init__(host, port, timeout=timeout_seconds)
        self._tls = tls

    def connect(self) -> None:
        sock = socket.create_connection((self.host, self.port), self.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._tls.wrap_socket(sock, server_hostname=self.host) if self._tls else sock


class Pool:
    """Connections are handed out newest first, so that idle ones age and are dropped by the peer, not by us."""

    def __init__(self, url: str, *, connect_seconds: float, keep: int = 64) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http(s) address: {url}")
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.path_prefix = parts.path.rstrip("/")
        default = {"http": 80, "https": 443}[parts.scheme]
        self.host_header = self.host if self.port == default else f"{self.host}:{self.port}"
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._connect_seconds = connect_seconds
        self._keep = keep
        self._idle: deque[Connection] = deque()

    def take(self, read_seconds: float, *, fresh: bool = False) -> Connection:
        """A connection ready to send on. Errors: OSError where it cannot be opened in time."""
        if not fresh:
            while self._idle:
                try:
                    connection = self._idle.pop()
                except IndexError:  # another thread was quicker
                    break
                if connection.sock is not None:
                    connection.sock.settimeout(read_seconds)
                    return connection
        connection = Connection(self.host, self.port, self._tls, self._connect_seconds)
        connection.connect()
        assert connection.sock is not None
        connection.sock.settimeout(read_seconds)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Only after the answer was read to its end."""
        connection.used = True
        if len(self._idle) < self._keep and connection.sock is not None:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Those that wait; what is in use stays open until it is given back."""
        while self._idle:
            self._idle.pop().close()
