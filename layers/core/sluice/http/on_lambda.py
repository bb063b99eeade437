"""A function's blueprint behind API Gateway's buffered proxy event, with the logs and metrics every function has."""

from collections.abc import Callable
from functools import cache
from typing import Any

from flask import Blueprint


@cache
def wsgi(blueprint: Blueprint) -> Callable[[Any, Any], Any]:
    """→ `handler(event, context)`. Built at the first event and kept: an import answers nothing and costs nothing."""
    from apig_wsgi import make_lambda_handler

    from sluice import settings
    from sluice.http import logging, metrics
    from sluice.http.app import create_app
    from sluice.wiring import peers

    logging.configure()
    app = create_app([blueprint], https=settings.common().https)
    metrics.install(app, peers.metrics())
    handler: Callable[[Any, Any], Any] = make_lambda_handler(app, binary_support=True)  # base64 for what is no text
    return handler
