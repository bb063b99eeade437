"""Which parts of the gateway use its CPU: times its calls in this process, without nested calls.

Calls the app like gunicorn, one request after the other. The CPU time of gunicorn itself is the difference to the
worker's CPU per request under load.
"""

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from benchmarks.gateway import requests
from benchmarks.gateway.requests import Kind, Target
from benchmarks.gateway.world import World

REST = "Flask: routing, request, response, headers"


class Clock:
    """CPU time by part. The time of an inner part is not counted in the outer one."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._open: list[list[Any]] = []  # name, CPU time of the calls inside

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def timing(*arguments: Any, **named: Any) -> Any:
            self._open.append([name, 0.0])
            began = time.thread_time()
            try:
                return call(*arguments, **named)
            finally:
                took = time.thread_time() - began
                _, inside = self._open.pop()
                self.spent[name] = self.spent.get(name, 0.0) + took - inside
                if self._open:
                    self._open[-1][1] += took

        return timing

    def wrap(self, owner: Any, attribute: str, name: str) -> None:
        setattr(owner, attribute, self.timed(name, getattr(owner, attribute)))


def measure(world: World, kind: Kind, times: int) -> dict[str, float]:
    """CPU microseconds per request, by part."""
    from infra.local.app import create_app

    clock = Clock()
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
    ):  # log records are formatted, but not shown
        app = create_app()
        serve = clock.timed(REST, lambda: ask(app, kind, world.tokens[0]))
        for _ in range(20):
            ask(app, kind, world.tokens[0])
        restore = _instrument(clock)
        try:
            for _ in range(times):
                serve()
        finally:
            for owner, attribute, original in restore:
                setattr(owner, attribute, original)
    return {name: spent / times * 1e6 for name, spent in sorted(clock.spent.items(), key=lambda part: -part[1])}


def _instrument(clock: Clock) -> list[tuple[Any, str, Any]]:
    from sluice.adapters.aws import json_service
    from sluice.adapters.gateway import upstream
    from sluice.adapters.tokens import jwt_tokens
    from sluice.adapters.usage import metrics_prometheus
    from sluice.domain.gateway import chunks
    from sluice.http import metrics
    from sluice.http.gateway import complete as gateway_flow
    from sluice.services.gateway import admit, exchange, gateway

    places: list[tuple[Any, str, str]] = [
        (jwt_tokens.Verifier, "verify", "token: known signature, expiry"),
        (gateway_flow, "parse_body", "body: JSON, checked against its model"),
        (admit.Admission, "admit", "admission: forms, expressions, grant"),
        (exchange, "settle", "settlement: record, expressions, grant"),
        (gateway.Gateway, "keep_content", "log of content"),
        (json_service.JsonService, "call", "store calls: JSON"),
        (json_service, "exchange", "store calls: send, receive, read the answer"),
        (upstream.HttpUpstream, "open", "model server: ask, first bytes"),
        (upstream.HttpStream, "_read", "model server: read on"),
        (chunks, "whole", "chunks folded into one answer"),
        (metrics, "_log", "access log"),
        (metrics_prometheus.PrometheusMetrics, "_of", "metrics"),
    ]
    restore = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in places]
    for owner, attribute, name in places:
        clock.wrap(owner, attribute, name)
    from sluice.wiring import stores

    client: Any = stores.hot_store()._client  # type: ignore[attr-defined]
    restore.append((client, "_sign", client._sign))
    clock.wrap(client, "_sign", "store calls: signing (awscrt)")
    return restore


def ask(app: Any, kind: Kind, token: str) -> None:
    """One request of a WSGI app, as gunicorn makes it, read to its end."""
    body = requests.raw(Target("parts", "127.0.0.1", 1, [token]), kind, token).split("\r\n\r\n", 1)[1].encode()
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/v1/chat/completions", "SCRIPT_NAME": "", "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr,
        "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False, "wsgi.input_terminated": True,
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)), "HTTP_HOST": "127.0.0.1",
        "HTTP_AUTHORIZATION": "Bearer " + token,
    }  # fmt: skip
    statuses: list[str] = []
    answer = app(environ, lambda status, headers, exc_info=None: statuses.append(status))
    for _ in answer:
        pass
    answer.close()
    if not statuses[0].startswith("200"):
        raise RuntimeError(f"the gateway answered {statuses[0]}")
