"""Checks that a port is free, and finds free ports."""

import errno
import socket

from infra.local.config import LOOPBACK
from infra.local.errors import LaunchError


def require_free(host: str, port: int) -> None:
    """Raises LaunchError unless a server can listen. SO_REUSEADDR as in gunicorn, to ignore closing connections."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            reason = f"port {port} is taken by another program. Choose another: PORT={port + 1} make up"
        elif exc.errno == errno.EACCES:
            reason = f"port {port} needs more rights than this user has. Choose one from 1024 up: PORT=8080 make up"
        else:
            reason = f"nothing can listen on {host}:{port}: {exc.strerror or exc}."
        raise LaunchError(reason) from exc


def free(count: int) -> list[int]:
    """Different ports that are free on loopback at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
