"""Structured logs: one JSON object a line, with the request id, and never a secret or what people wrote.

Three rules hold that, each without knowing who logs what:
1. Fields come from a list (FIELDS); whatever else a record carries is left out.
2. A text may hold nothing that looks like a credential (REDACTED): it is replaced, whoever put it there.
3. Of an exception only its type and where it happened are written. Its message may quote anything: a validation
   error quotes the password, a decoding error the prompt. Only our own errors' messages, and the store's error code,
   are known not to.
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

FIELDS = (
    "request_id", "account_id", "token_id", "mail_id", "model", "endpoint", "route", "method", "status", "code", "kind",
    "reason", "attempts", "records", "failed", "accounts", "leases", "settled", "cleared", "requeued", "complete",
    "seconds", "pid", "problem", "file_id", "store_id", "seen", "mended", "noted", "ignored", "given_up",
)  # fmt: skip
MAX_TEXT = 2_000
REMOVED = "[removed]"
REDACTED = (
    # A JWT, an API token of ours or anyone's, whole or cut off at either dot.
    re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]+){0,2}"),
    # A mailed code: a mail's id, a dot, its code. A mail's id alone is no secret.
    re.compile(r"(?<=mail_)\w{8,}\.[\w-]{8,}"),
    # A session token: a session's id, a dot, its secret.
    re.compile(r"(?<=ses_)\w{8,}\.[\w-]{8,}"),
    # What a header or a cookie carries.
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{8,}|(?<=basic )[\w+/=-]{4,}"),
    re.compile(r"(?i)(?<=sluice_session=)[^;\s\"']+"),
    # name=value, "name": "value", name='value': with a space in it only where it is quoted.
    re.compile(
        r"(?i)(?<![\w-])[\"']?(?:\w*password\w*|token|secret|authorization|cookie|prompt|messages|content|input_value)"
        r"[\"']?\s*[=:]\s*(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s,;&)}\]]+)"
    ),
    # user:password@ of a URL
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),
)


# What any pattern above needs to match: most texts have none of it, and this one search is all they cost.
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
        given = vars(record)
        for name in FIELDS:
            if name not in given:
                continue
            value = given[name]
            entry[name] = value if isinstance(value, bool | int | float | None) else redacted(str(value))
        if record.exc_info and record.exc_info[1] is not None:
            entry["exception"] = described(record.exc_info[1])
        return json.dumps(entry, ensure_ascii=False)


def _request_ids() -> dict[str, str | None]:
    """Of the request being answered. Flask is not imported for it: event functions have none, and start without."""
    flask = sys.modules.get("flask")
    if flask is None or not flask.has_app_context() or "request_id" not in flask.g:
        return {}
    return {"request_id": flask.g.request_id, "server_request_id": flask.g.get("server_request_id")}


def described(exc: BaseException) -> list[dict[str, Any]]:
    """The exception and what caused it, innermost last: types and places, messages only where they are our own."""
    chain: list[dict[str, Any]] = []
    step: BaseException | None = exc
    while step is not None and len(chain) < 5:
        told: dict[str, Any] = {"type": f"{type(step).__module__}.{type(step).__qualname__}"}
        if isinstance(step, SluiceError):
            told["message"] = redacted(step.message)
        elif isinstance(step, OSError) and step.strerror:
            told["message"] = step.strerror
        code = _sdk_code(step)
        if code:
            told["code"] = code
        told["at"] = _places(step.__traceback__)
        chain.append(told)
        step = step.__cause__ or (None if step.__suppress_context__ else step.__context__)
    return chain


def _sdk_code(exc: BaseException) -> str:
    answer = getattr(exc, "response", None)
    error = answer.get("Error") if isinstance(answer, dict) else None
    return str(error.get("Code", "")) if isinstance(error, dict) else ""


def _places(trace: TracebackType | None) -> list[str]:
    """`file.py:12 function`, never the line itself: source is no secret, but a line may hold a literal that is."""
    return [f"{os.path.basename(f.filename)}:{f.lineno} {f.name}" for f in traceback.extract_tb(trace)[-12:]]


class _StandardError(logging.StreamHandler[TextIO]):
    """Wherever standard error is at the moment of writing."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def configure(level: str | int = logging.INFO, environment: Mapping[str, str] = os.environ) -> None:
    """Log to standard error, for the whole process. Safe to repeat.

    Lambda brings a handler of its own, which frames the lines: it keeps it, but not its plain text.
    """
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, JsonFormatter) for handler in root.handlers):
        lambdas = root.handlers if "AWS_LAMBDA_FUNCTION_NAME" in environment else []
        ours = [*lambdas] or [_StandardError()]
        for handler in ours:
            handler.setFormatter(JsonFormatter())
            root.addHandler(handler)  # which does nothing for one that is there
    root.setLevel(level)
    for handler in logging.getLogger("gunicorn.error").handlers:  # it tells of what broke outside of a request
        handler.setFormatter(JsonFormatter())
    for noisy in ("botocore", "urllib3", "werkzeug"):  # at lower levels they log bodies and headers
        logging.getLogger(noisy).setLevel(logging.WARNING)
