"""The domain error for what a model behind HTTP answers instead of 2xx.

What is the caller's to mend (its input) is told, if the server says it in JSON and names nothing of the owner's. What
is the owner's (an address, a key, a redirect) is told in the log by its status alone, because the server's text may
quote the key.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.adapters.gateway.refusals import retry_seconds
from sluice.domain import errors

log = logging.getLogger("sluice.upstream")

ABOUT_THE_INPUT = (400, 406, 413, 415, 422)
BUSY = (429, 503)
MAX_MESSAGE = 500  # characters
MAX_FAULTS = 5
OWNERS = re.compile(
    r"://|arn:|\d{12}|\b\d{1,3}(\.\d{1,3}){3}\b|bearer |authorization|api.?key|password|secret|traceback|eyJ[\w-]{8,}"
    r"|(^|[\s\"'(])(/[\w.@-]+){2,}|[a-z]:\\",
    re.IGNORECASE,
)
"""Addresses, paths of files, credentials, traces: not for callers."""


def refusal(status: int, body: bytes, headers: Mapping[bytes, bytes], secrets: Sequence[str]) -> errors.SluiceError:
    """`secrets`: texts that no caller may see. `headers`: with names in lower case."""
    seconds = retry_seconds(headers.get(b"retry-after"))
    if status in BUSY:
        return errors.Overloaded(retry_after_seconds=seconds)
    if status in ABOUT_THE_INPUT:
        return errors.InvalidModelRequest(_message(body, secrets) or f"The model refuses this input ({status}).")
    if status < 500 and status != 408:
        log.error("the model server refuses Sluice, not its caller: it answers %s; see docs/settings.md", status)
        return errors.ModelUnavailable(retry_after_seconds=seconds)
    log.warning("the model server answered %s", status)
    return errors.UpstreamTimeout() if status in (408, 504) else errors.ModelUnavailable(retry_after_seconds=seconds)


def _message(body: bytes, secrets: Sequence[str]) -> str | None:
    try:
        text = _text(json.loads(body))
    except (ValueError, RecursionError):
        return None
    text = "".join(one if one.isprintable() else " " for one in text).strip()
    if not text or OWNERS.search(text) or any(secret and secret.lower() in text.lower() for secret in secrets):
        return None
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def _text(answer: Any) -> str:
    """Of `{"error": text}`, `{"error": {"message": text}}`, and FastAPI's `{"detail": text}` or faults of fields."""
    if not isinstance(answer, dict):
        return ""
    for name in ("error", "detail", "message"):
        value = answer.get(name)
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, list):
            value = "; ".join(filter(None, map(_fault, value[:MAX_FAULTS])))
        if isinstance(value, str) and value:
            return value
    return ""


def _fault(fault: Any) -> str:
    if not isinstance(fault, dict) or not isinstance(fault.get("msg"), str):
        return ""
    place = fault.get("loc")
    named = ".".join(str(part)[:64] for part in place[:8]) + ": " if isinstance(place, list) and place else ""
    return named + str(fault["msg"])
