"""How long AWS Lambda lets this request run. Lambda then stops the process at once, so we must settle before that.

The Web Adapter passes the invocation's context in a header, and replaces a header of this name that a client sent.
Sources: the adapter's guide, "Request context"; Lambda developer guide, "Using the Lambda runtime API"
(`Lambda-Runtime-Deadline-Ms`).
"""

import json
import math
import os
import time

from flask import has_request_context, request

HEADER = "x-amzn-lambda-context"
SETTLE_SECONDS = 30.0  # two writes, each tried three times with the store's time-out of 4 s
SETTLE_SHARE = 0.25  # of the time left, for a function with a short time-out


def seconds_left() -> float:
    """Seconds that the model may take, so that settling has the rest. Infinite outside Lambda, where a client could
    have written the header."""
    if "AWS_LAMBDA_RUNTIME_API" not in os.environ or not has_request_context():
        return math.inf
    deadline_ms = _deadline_ms(request.headers.get(HEADER, ""))
    if deadline_ms is None:
        return math.inf
    return settled_within(deadline_ms / 1000 - time.time())


def settled_within(left_seconds: float) -> float:
    """Of so many seconds, those that the model may take."""
    return left_seconds - min(SETTLE_SECONDS, left_seconds * SETTLE_SHARE)


def _deadline_ms(context: str) -> int | None:
    try:
        deadline_ms = json.loads(context)["deadline"]
    except (ValueError, LookupError, TypeError):
        return None
    return deadline_ms if type(deadline_ms) is int else None
