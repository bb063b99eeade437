"""Connections inside a one-machine run, where store and engine have no port that others could reach (ADR 81).

The engine listens on a Unix socket. The store's socket hands out connections: each is a TCP connection into the
store's own network, received as a file descriptor.
"""

import os
import socket
import struct
from typing import Any

CONNECT_SECONDS = 2.0  # of a client of botocore without a timeout of its own


def store_socket() -> str:
    """The path of the running store's socket, from `SLUICE_STORE_SOCKET`; "" if the store has an address."""
    return os.environ.get("SLUICE_STORE_SOCKET", "")


def connected(path: str, seconds: float) -> socket.socket:
    """Errors: OSError if nothing listens there, or if it does not accept in `seconds`."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        # The kernel's own timeout, because a socket with Python's fails at once while the backlog is full.
        whole = int(seconds)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", whole, int((seconds - whole) * 1e6)))
        sock.connect(path)
        sock.settimeout(seconds)
    except BaseException:
        sock.close()
        raise
    return sock


def store_connection(path: str, seconds: float) -> socket.socket:
    """A connection to the store behind this socket. Errors: OSError."""
    with connected(path, seconds) as asked:
        descriptors = socket.recv_fds(asked, 1, 1)[1]
    if not descriptors:
        raise ConnectionRefusedError("the store is not ready")
    connection = socket.socket(fileno=descriptors[0])
    connection.set_inheritable(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def led_to_store(client: Any, path: str | None = None) -> Any:
    """`client`, one of botocore's, which from now on reaches the store by its socket if it has one.

    `path`: of the socket; None for `store_socket()`.
    """
    address = store_socket() if path is None else path
    if address:
        from botocore.awsrequest import AWSHTTPConnection, AWSHTTPConnectionPool

        class Connection(AWSHTTPConnection):
            def _new_conn(self) -> socket.socket:
                return store_connection(address, self.timeout or CONNECT_SECONDS)

        class Connections(AWSHTTPConnectionPool):
            ConnectionCls = Connection

        client._endpoint.http_session._manager.pool_classes_by_scheme = {"http": Connections}
    return client
