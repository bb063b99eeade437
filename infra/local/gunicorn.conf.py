"""gunicorn's configuration of the one-machine app. One gevent worker: docs/adr/0003-one-machine-workers.md."""

import os

_host = os.environ.get("SLUICE_HOST") or "127.0.0.1"
bind = f"{f'[{_host}]' if ':' in _host else _host}:{os.environ.get('PORT') or '8080'}"
workers = 1  # one process sees every stream, so that its cap on /v1 is the machine's
worker_class = "gevent"
worker_connections = 4000  # far above the places of /v1 (SLUICE_V1_PLACES, 512): the rest is for the account pages
backlog = 512
timeout = 30  # the worker's loop has to come round at least this often
graceful_timeout = 5
keepalive = (
    15  # below the 20 s that sluice.http.connection lets a caller keep us waiting: idle connections end in silence
)
limit_request_line = 8190
limit_request_fields = 100
preload_app = False
control_socket_disable = True  # else gunicorn opens ~/.gunicorn/gunicorn.ctl
accesslog = None  # the functions log their requests themselves, with ids and without secrets
