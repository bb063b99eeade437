"""gunicorn's configuration of the one-machine app: one worker of threads, see docs/adr/0003-one-machine-workers.md."""

import os
import socket
import struct
from typing import Any

from sluice import settings

SPARE_THREADS = 128
"""Threads for all requests except /v1, which has SLUICE_V1_PLACES threads."""
RECEIVE_SECONDS = 5
"""A client that stops sending in the middle of a request is disconnected after this time, to free its thread."""

_host = os.environ.get("SLUICE_HOST") or "127.0.0.1"
bind = f"{f'[{_host}]' if ':' in _host else _host}:{os.environ.get('PORT') or '8080'}"
workers = 1  # one process, so that its limit on /v1 is the limit of the machine
worker_class = "gthread"
threads = settings.gateway().v1_places + SPARE_THREADS  # created when needed
worker_connections = 4000
backlog = 512
timeout = 30
graceful_timeout = 5
# Less than the 20 s timeout of sluice.http.gateway.connection, so that idle connections are closed without an error.
keepalive = 15
limit_request_line = 8190
limit_request_fields = 100
preload_app = False
# Nobody may say that a request came by another path or scheme; http/client.py reads X-Forwarded-For itself.
forwarded_allow_ips, forwarder_headers, secure_scheme_headers = "", "", {}  # type: ignore[var-annotated]
control_socket_disable = True  # otherwise gunicorn opens ~/.gunicorn/gunicorn.ctl
accesslog = None  # the functions log requests themselves, with ids and without secrets


def when_ready(server: Any) -> None:
    """Set a receive timeout, because gunicorn has none. On Linux accepted sockets inherit it from the listener."""
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", RECEIVE_SECONDS, 0))
