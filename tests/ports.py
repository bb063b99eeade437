"""Ports for the servers that tests start: no two test processes on one machine are given the same."""

import random
import socket

LOOPBACK = "127.0.0.1"
CHOICE = range(20_000, 30_000)
"""Below 32768, where Linux begins to take ports for outgoing connections; apart from those of `infra.local.ports`."""

_held: list[socket.socket] = []


def free_port() -> int:
    """A TCP port that nobody listens on, and that this function gives to no other process until this one ends.

    As a sign to the others, the UDP port of the same number stays bound. Errors: RuntimeError.
    """
    for port in random.SystemRandom().sample(CHOICE, len(CHOICE)):
        sign = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sign.bind((LOOPBACK, port))
            with socket.socket() as probe:
                probe.bind((LOOPBACK, port))
        except OSError:
            sign.close()
            continue
        _held.append(sign)
        return port
    raise RuntimeError(f"no port from {CHOICE.start} to {CHOICE.stop} is free")
