"""Loads an event function as Lambda does: a module and its `handler(event, context)`."""

import importlib
from collections.abc import Callable
from typing import Any

Handler = Callable[[dict[str, Any], object], Any]


def load(package: str) -> Handler:
    """`PACKAGE.app.handler`, imported at the call because it imports the AWS SDK. Raises TypeError."""
    found = importlib.import_module(f"{package}.app").handler
    if not callable(found):
        raise TypeError(f"{package}.app.handler cannot be called")
    handler: Handler = found
    return handler
