"""gunicorn's configuration: one worker, because there is one model and one decode thread; scale with slots instead.

gunicorn -c functions/inference/gunicorn.conf.py "functions.inference.app:create_app()"
"""

import os
import signal
import socket
import struct
import sys
from types import FrameType
from typing import Any

from pydantic import ValidationError

from functions.inference.logs import QuietTimeouts
from functions.inference.settings import InferenceSettings

SPARE_THREADS = 24
"""For health checks, model lists and quick refusals while every slot and queue place is taken by a waiting request."""
SWITCH_INTERVAL_S = 0.0005
"""The decode thread wants the interpreter back after every llama_decode; the default lets others keep it for 5 ms."""

try:
    _settings = InferenceSettings()
except ValidationError as error:
    _wrong = error.errors()[0]
    raise SystemExit(f"sluice inference: the setting {_wrong['loc'][0]} is wrong: {_wrong['msg']}.") from None

bind = os.environ.get("SLUICE_INFERENCE_BIND", "127.0.0.1:8081")
workers = 1
worker_class = "gthread"
threads = _settings.slots + _settings.queue_size + SPARE_THREADS
backlog = 512
timeout = 120
graceful_timeout = _settings.drain_ms // 1000 + 5
keepalive = 30
preload_app = False
worker_tmp_dir = (
    "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
)  # heartbeats in memory; the root may be read-only
control_socket_disable = True  # else gunicorn opens ~/.gunicorn/gunicorn.ctl, and a read-only image has no such place


def post_fork(_server: Any, worker: Any) -> None:
    """gunicorn's threads read and write without a deadline; accepted sockets inherit the listener's."""
    worker.log.error_log.addFilter(QuietTimeouts())
    for listener in worker.sockets:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _interval(_settings.read_timeout_ms))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _interval(_settings.write_timeout_ms))


def _interval(milliseconds: int) -> bytes:
    """A `struct timeval`."""
    return struct.pack("@ll", milliseconds // 1000, milliseconds % 1000 * 1000)


def post_worker_init(worker: Any) -> None:
    """Load the model here: neither its threads nor its memory survive a fork."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    service = worker.wsgi.extensions["inference"]

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        service.begin_drain()
        worker.handle_exit(number, frame)

    signal.signal(signal.SIGTERM, on_sigterm)
    if service.settings.load == "eager":
        service.start()


def worker_exit(_server: Any, worker: Any) -> None:
    """gunicorn has waited for the responses; end the decode thread before the interpreter goes."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["inference"].drain()
