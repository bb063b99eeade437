"""The event functions, found as Lambda finds them: a module and its `handler(event, context)`."""

import importlib
from collections.abc import Callable
from typing import Any

Handler = Callable[[dict[str, Any], object], Any]


def load(package: str) -> Handler:
    """`PACKAGE.app.handler`. Imported late: it pulls the AWS SDK in."""
    found = importlib.import_module(f"{package}.app").handler
    if not callable(found):
        raise TypeError(f"{package}.app.handler cannot be called")
    handler: Handler = found
    return handler
