"""The current request and its notes without Flask's proxies, each use of which takes 10,000 instructions."""

from collections.abc import Callable
from typing import Any, cast

from flask import Request, g, request

asked = cast(Callable[[], Request], request._get_current_object)  # type: ignore[attr-defined]
notes = cast(Callable[[], Any], g._get_current_object)
"""What `flask.g` is: attributes, `get` and `in`."""
