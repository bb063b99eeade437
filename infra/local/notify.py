"""Tells the service manager when the system is ready (sd_notify(3)): a datagram to the socket that it names."""

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

VARIABLE = "NOTIFY_SOCKET"
SECONDS = 2.0


class Notify:
    """Without systemd, or in a unit of another type than `notify`, it does nothing."""

    def __init__(self, env: MutableMapping[str, str] = os.environ) -> None:
        """Takes the variable out of `env`, because gunicorn in a child process would announce itself by it."""
        named = env.pop(VARIABLE, "")
        self._address = f"\0{named[1:]}" if named.startswith("@") else named

    def __call__(self, *states: str) -> None:
        """`states`: as `READY=1`. A manager that does not take them must not end what it manages."""
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SECONDS)
                sender.sendto("\n".join(states).encode(), self._address)
