"""gunicorn's configuration of the one-machine app: one worker of threads (ADR 3), behind a receiving loop (ADR 78)."""

import os
from typing import Any

from sluice import settings

SPARE_THREADS = 128
"""Threads for all requests except /v1, which has SLUICE_V1_PLACES, and SLUICE_V1_WAITING for those that wait:
for their turn, and as many for the first request with their Idempotency-Key."""

_host = os.environ.get("SLUICE_HOST") or "127.0.0.1"
bind = f"{f'[{_host}]' if ':' in _host else _host}:{os.environ.get('PORT') or '8080'}"
workers = 1  # one process, so that its limit on /v1 is the limit of the machine
worker_class = "infra.local.listener.Listener"
threads = settings.gateway().v1_places + 2 * settings.gateway().v1_waiting + SPARE_THREADS  # created when needed
worker_connections = 4000
backlog = 512
timeout = 30
graceful_timeout = 5
keepalive = 75  # more than the 60 s of nginx and other proxies, which must never send on a connection being closed
limit_request_line = 8190
limit_request_fields = 100
preload_app = False
# Nobody may say that a request came by another path or scheme; http/client.py reads X-Forwarded-For itself.
forwarded_allow_ips, forwarder_headers, secure_scheme_headers = "", "", {}  # type: ignore[var-annotated]
control_socket_disable = True  # otherwise gunicorn opens ~/.gunicorn/gunicorn.ctl
accesslog = None  # the functions log requests themselves, with ids and without secrets


def post_worker_init(worker: Any) -> None:
    from infra.local.app import collect_seldom  # not above, because the master would import the whole app, too

    collect_seldom()
