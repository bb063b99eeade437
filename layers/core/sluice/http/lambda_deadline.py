"""How long Lambda lets the request that runs go on: it kills without a word, and what is settled by then is settled.

The Web Adapter hands on the invocation's context in a header of its own, which replaces one of that name that a client
sent. Source: the adapter's guide, "Request context"; Lambda developer guide, "Using the Lambda runtime API"
(`Lambda-Runtime-Deadline-Ms`).
"""

import json
import math
import os
import time

from flask import has_request_context, request

HEADER = "x-amzn-lambda-context"
SETTLE_SECONDS = 30.0  # two writes, tried three times, each with the store's patience of 4 s
SETTLE_SHARE = 0.25  # of a function with a short time-out


def seconds_left() -> float:
    """For the model, so that settling has the rest. Infinite where there is no Lambda: there a header is anyone's."""
    if "AWS_LAMBDA_RUNTIME_API" not in os.environ or not has_request_context():
        return math.inf
    deadline_ms = _deadline_ms(request.headers.get(HEADER, ""))
    if deadline_ms is None:
        return math.inf
    left = deadline_ms / 1000 - time.time()
    return left - min(SETTLE_SECONDS, left * SETTLE_SHARE)


def _deadline_ms(context: str) -> int | None:
    try:
        told = json.loads(context)["deadline"]
    except (ValueError, LookupError, TypeError):
        return None
    return told if type(told) is int else None
