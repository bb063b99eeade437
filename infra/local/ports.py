"""Checks that a port is free, and finds free ports."""

import errno
import random
import socket
from contextlib import suppress

from infra.local.config import LOOPBACK
from infra.local.errors import LaunchError
from infra.place import UP

CHOICE = range(10_000, 20_000)
"""Below 32768, where Linux begins to take ports for outgoing connections, so that none of those takes one first."""


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
            reason = f"port {port} is taken by another program. Choose another: PORT={port + 1} {UP}"
        elif exc.errno == errno.EACCES:
            reason = f"port {port} needs more rights than this user has. Choose one from 1024 up: PORT=8080 {UP}"
        else:
            reason = f"nothing can listen on {host}:{port}: {exc.strerror or exc}."
        raise LaunchError(reason) from exc


def free() -> int:
    """A port that is free on loopback at this moment."""
    for port in random.sample(CHOICE, len(CHOICE)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise LaunchError(f"no port from {CHOICE[0]} to {CHOICE[-1]} is free")
