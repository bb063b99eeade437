"""Loads an event function as Lambda does: a module and its `handler(event, context)`."""

import importlib
from collections.abc import Callable
from typing import Any

Handler = Callable[[dict[str, Any], object], Any]


def load(package: str) -> Handler:
    """`PACKAGE.app.handler`, imported at the call because it imports the AWS SDK."""
    handler: Handler = importlib.import_module(f"{package}.app").handler
    return handler
