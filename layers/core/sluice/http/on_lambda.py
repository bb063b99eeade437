"""A function's blueprint behind API Gateway's buffered proxy event, with logs and metrics."""

from collections.abc import Callable
from functools import cache
from typing import Any

from flask import Blueprint

from sluice.adapters.aws.access import on_lambda


def lambda_handler(blueprint: Blueprint) -> Callable[[Any, Any], Any]:
    """`handler(event, context)` for API Gateway's proxy events. On Lambda the app is built at once, during INIT."""
    if on_lambda():
        return wsgi(blueprint)
    return lambda event, context: wsgi(blueprint)(event, context)


@cache
def wsgi(blueprint: Blueprint) -> Callable[[Any, Any], Any]:
    """Returns `handler(event, context)`."""
    from apig_wsgi import make_lambda_handler

    from sluice import settings
    from sluice.http import logging, metrics
    from sluice.http.app import create_app
    from sluice.wiring import peers

    logging.configure()
    app = create_app([blueprint], https=settings.common().https)
    metrics.install(app, peers.metrics())
    handler: Callable[[Any, Any], Any] = make_lambda_handler(app, binary_support=True)  # base64 for binary answers
    return handler
