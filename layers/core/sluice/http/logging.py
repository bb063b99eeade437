"""Structured logs: one JSON object a line with the request id, without secrets and without people's text.

Three rules ensure this for all code:
1. Only fields of a fixed list (FIELDS) are written; other attributes of a record are left out.
2. Text that looks like a credential (REDACTED) is replaced.
3. Of an exception only the type and the place are written, because a message may quote anything: a validation error
   quotes the password, a decoding error the prompt. The exceptions are messages of our own errors and error codes of
   the store, which are known to be safe.
"""

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from sluice.domain.errors import SluiceError

FIELDS = frozenset({
    "request_id", "account_id", "token_id", "mail_id", "model", "endpoint", "route", "method", "status", "code", "kind",
    "reason", "attempts", "records", "failed", "accounts", "leases", "settled", "cleared", "requeued", "complete",
    "seconds", "pid", "problem", "file_id", "store_id", "seen", "mended", "renewed", "files", "noted", "ignored",
    "given_up", "webhook_id", "event_id",
})  # fmt: skip
MAX_TEXT = 2_000
ENCODED = json.JSONEncoder(ensure_ascii=False).encode  # `json.dumps` would make an encoder for each line
REMOVED = "[removed]"
REDACTED = (
    # A JWT (our API token or another), whole or cut off at either dot.
    re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]+){0,2}"),
    # A mailed code: a mail's id, a dot, the code. A mail's id alone is not secret.
    re.compile(r"(?<=mail_)\w{8,}\.[\w-]{8,}"),
    # A session token: a session's id, a dot, the secret.
    re.compile(r"(?<=ses_)\w{8,}\.[\w-]{8,}"),
    # The value of an Authorization header.
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{8,}|(?<=basic )[\w+/=-]{4,}"),
    re.compile(r"(?i)(?<=sluice_session=)[^;\s\"']+"),
    # name=value, "name": "value", name='value'. Only a quoted value may contain spaces.
    re.compile(
        r"(?i)(?<![\w-])[\"']?(?:\w*password\w*|token|secret|authorization|cookie|prompt|messages|content|input_value)"
        r"[\"']?\s*[=:]\s*(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s,;&)}\]]+)"
    ),
    # user:password@ in a URL
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),
)


# A quick test: a text without any of these matches none of the patterns above. Most texts cost only this search.
SUSPECT = re.compile(r"eyJ|mail_|ses_|[=:@]|bearer |basic ", re.IGNORECASE)


def redacted(text: str) -> str:
    if not SUSPECT.search(text):
        return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
    for pattern in REDACTED:
        text = pattern.sub(REMOVED, text)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        entry |= _request_ids()
        attributes = vars(record)
        for name in sorted(FIELDS.intersection(attributes)):
            value = attributes[name]
            entry[name] = value if isinstance(value, bool | int | float | None) else redacted(str(value))
        if record.exc_info and record.exc_info[1] is not None:
            entry["exception"] = described(record.exc_info[1])
        return ENCODED(entry)


def _request_ids() -> dict[str, str | None]:
    """The ids of the current request. It does not import Flask, because event functions start faster without it."""
    flask = sys.modules.get("flask")
    if flask is None or not flask.has_app_context():
        return {}
    notes = flask.g._get_current_object()  # not by the proxy, as in `here`
    if "request_id" not in notes:
        return {}
    return {"request_id": notes.request_id, "server_request_id": notes.get("server_request_id")}


def described(exc: BaseException) -> list[dict[str, Any]]:
    """The exception and its causes, innermost last: types and places; messages only of our own errors."""
    chain: list[dict[str, Any]] = []
    step: BaseException | None = exc
    while step is not None and len(chain) < 5:
        entry: dict[str, Any] = {"type": f"{type(step).__module__}.{type(step).__qualname__}"}
        if isinstance(step, SluiceError):
            entry["message"] = redacted(step.message)
        elif isinstance(step, OSError) and step.strerror:
            entry["message"] = step.strerror
        code = _sdk_code(step)
        if code:
            entry["code"] = code
        entry["at"] = _places(step.__traceback__)
        chain.append(entry)
        step = step.__cause__ or (None if step.__suppress_context__ else step.__context__)
    return chain


def _sdk_code(exc: BaseException) -> str:
    answer = getattr(exc, "response", None)
    error = answer.get("Error") if isinstance(answer, dict) else None
    return str(error.get("Code", "")) if isinstance(error, dict) else ""


def _places(trace: TracebackType | None) -> list[str]:
    """`file.py:12 function`, without the source line, because the line may contain a secret literal."""
    return [f"{os.path.basename(f.filename)}:{f.lineno} {f.name}" for f in traceback.extract_tb(trace)[-12:]]


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to the current `sys.stderr`, which tests replace."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def configure(level: str | int = logging.INFO, environment: Mapping[str, str] = os.environ) -> None:
    """Log to standard error, for the whole process. It may be called again.

    On Lambda this keeps the runtime's own handler, because it frames the lines, and replaces only its formatter.
    """
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, JsonFormatter) for handler in root.handlers):
        lambdas = root.handlers if "AWS_LAMBDA_FUNCTION_NAME" in environment else []
        ours = [*lambdas] or [_StandardError()]
        for handler in ours:
            handler.setFormatter(JsonFormatter())
            root.addHandler(handler)  # does nothing if it is already there
    root.setLevel(level)
    # No entry shows the thread or the line that logs, so no record need find them ("Optimization" in Python's guide).
    logging.logThreads = logging.logMultiprocessing = False
    logging._srcfile = None
    for handler in logging.getLogger("gunicorn.error").handlers:  # it reports failures outside a request
        handler.setFormatter(JsonFormatter())
    for noisy in ("botocore", "stripe", "urllib3", "werkzeug"):  # below WARNING they log bodies and headers
        logging.getLogger(noisy).setLevel(logging.WARNING)
