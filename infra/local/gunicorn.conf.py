"""gunicorn's configuration of the one-machine app: one worker of threads, see docs/adr/0003-one-machine-workers.md."""

import os
import socket
import struct
from typing import Any

from sluice import settings

SPARE_THREADS = 128
"""For everything but /v1, whose own places (SLUICE_V1_PLACES) are fewer than the threads by this many."""
RECEIVE_SECONDS = 5
"""A caller that keeps us waiting in the middle of a request for this long is gone; else it would keep its thread."""

_host = os.environ.get("SLUICE_HOST") or "127.0.0.1"
bind = f"{f'[{_host}]' if ':' in _host else _host}:{os.environ.get('PORT') or '8080'}"
workers = 1  # one process sees every stream, so that its cap on /v1 is the machine's
worker_class = "gthread"
threads = settings.gateway().v1_places + SPARE_THREADS  # made when needed
worker_connections = 4000
backlog = 512
timeout = 30
graceful_timeout = 5
# Below the 20 s that sluice.http.gateway.connection lets a caller keep us waiting: idle connections end in silence.
keepalive = 15
limit_request_line = 8190
limit_request_fields = 100
preload_app = False
control_socket_disable = True  # else gunicorn opens ~/.gunicorn/gunicorn.ctl
accesslog = None  # the functions log their requests themselves, with ids and without secrets


def when_ready(server: Any) -> None:
    """On Linux accepted sockets inherit the listener's timeout; gunicorn itself has none for a half-sent request."""
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", RECEIVE_SECONDS, 0))
