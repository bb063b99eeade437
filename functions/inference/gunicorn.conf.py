"""gunicorn's configuration: one worker, because there is one model and one decode thread; scale with slots instead.

gunicorn -c functions/inference/gunicorn.conf.py "functions.inference.app:create_app()"
"""

import mmap
import os
import signal
import socket
import struct
import sys
from types import FrameType
from typing import Any

from gunicorn.errors import HaltServer
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
# Heartbeats in memory: a container's root may be read-only.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
control_socket_disable = True  # else gunicorn opens ~/.gunicorn/gunicorn.ctl, and a read-only image has no such place


MOST_EARLY_DEATHS = 3
_loaded = mmap.mmap(-1, 1)
"""One byte that master and worker share: whether a worker ever had its model loaded."""
_early_deaths = 0


def child_exit(_server: Any, _worker: Any) -> None:
    """A worker that loaded its model and died is replaced; one that dies loading it will again, so not for ever."""
    global _early_deaths
    if _loaded[0]:
        return
    _early_deaths += 1
    if _early_deaths >= MOST_EARLY_DEATHS:
        text = f"the process died {_early_deaths} times while loading the model {_settings.model}: is the file damaged?"
        print(f"sluice inference: {text}", file=sys.stderr, flush=True)
        raise HaltServer("Worker died while loading.", 3)


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
    service.on_loaded = lambda: _loaded.__setitem__(0, 1)

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
