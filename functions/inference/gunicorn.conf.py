"""gunicorn's configuration: one worker, because a model's memory is one process's. Slots set the capacity.

gunicorn -c functions/inference/gunicorn.conf.py "functions.inference.app:create_app()"
"""

import logging
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

from functions.inference import processor
from functions.inference.settings import InferenceSettings

SPARE_THREADS = 24
"""For health checks, model lists and refusals, while a waiting request occupies each slot and queue place."""
SPINS = "2000"
"""How often a thread of llama.cpp looks for the others before it sleeps (libgomp's manual, GOMP_SPINCOUNT). libgomp
would spin 300,000 times, also while a thread waits for a processor that another process uses (ADR 18)."""
SWITCH_INTERVAL_S = 0.0005
"""The decode thread needs the interpreter after each llama_decode; by default other threads may keep it for 5 ms."""

try:
    _settings = InferenceSettings()
except ValidationError as error:
    _wrong = error.errors()[0]
    raise SystemExit(f"sluice inference: the setting {_wrong['loc'][0]} is wrong: {_wrong['msg']}.") from None

if _refusal := processor.refusal():
    raise SystemExit(f"sluice inference: {_refusal}")

os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # libgomp reads it when a worker loads llama.cpp

bind = os.environ.get("SLUICE_INFERENCE_BIND", "127.0.0.1:8081")
workers = 1
worker_class = "gthread"
threads = (_settings.slots + _settings.queue_size) * len(_settings.model_names) + SPARE_THREADS
backlog = 512
timeout = 120
graceful_timeout = _settings.drain_ms // 1000 + 5
keepalive = 30
preload_app = False
# Heartbeats are kept in memory, because a container's root may be read-only.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (a file of gunicorn's, unlinked)
umask = 0o077  # of a Unix socket
# Nobody may say that a request came by another path or scheme. gunicorn would believe any caller of a Unix socket.
forwarded_allow_ips, forwarder_headers, secure_scheme_headers = "", "", {}  # type: ignore[var-annotated]
control_socket_disable = True  # otherwise gunicorn opens ~/.gunicorn/gunicorn.ctl, which fails on a read-only image


MOST_EARLY_DEATHS = 3
_loaded = mmap.mmap(-1, 1)
"""One byte shared by master and worker: whether a worker has ever loaded its models."""
_early_deaths = 0


def child_exit(_server: Any, _worker: Any) -> None:
    """gunicorn replaces a dead worker. Stop after a few that died while loading, because the next would die too."""
    global _early_deaths
    if _loaded[0]:
        return
    _early_deaths += 1
    if _early_deaths >= MOST_EARLY_DEATHS:
        names = ", ".join(_settings.model_names)
        text = f"the process died {_early_deaths} times while loading the model {names}: is the file damaged?"
        print(f"sluice inference: {text}", file=sys.stderr, flush=True)
        raise HaltServer("Worker died while loading.", 3)


class QuietTimeouts(logging.Filter):
    """gunicorn logs a traceback for every client that stops in the middle of a request. One line is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keeps every record and removes the traceback of timeouts."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, BlockingIOError | TimeoutError):
            record.msg, record.args = "a client sent or read nothing until the timeout; its connection was closed", ()
            record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
        return True


def post_fork(_server: Any, worker: Any) -> None:
    """Set socket timeouts, because gunicorn's threads have none. Accepted sockets inherit them from the listener."""
    worker.log.error_log.addFilter(QuietTimeouts())
    for listener in worker.sockets:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _interval(_settings.read_timeout_ms))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _interval(_settings.write_timeout_ms))


def _interval(milliseconds: int) -> bytes:
    """Milliseconds as a `struct timeval`."""
    return struct.pack("@ll", milliseconds // 1000, milliseconds % 1000 * 1000)


def post_worker_init(worker: Any) -> None:
    """Load the model after the fork, because its threads and memory do not survive one."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    service = worker.wsgi.extensions["inference"]
    service.on_loaded = lambda: _loaded.__setitem__(0, 1)

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        service.begin_drain()
        worker.handle_exit(number, frame)

    signal.signal(signal.SIGTERM, on_sigterm)
    if service.settings.load == "eager" or not service.settings.from_s3:
        service.start()


def worker_exit(_server: Any, worker: Any) -> None:
    """End the decode thread before the interpreter exits; gunicorn has waited for the responses."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["inference"].drain()
