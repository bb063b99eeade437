"""A batch: a file of requests that are answered one by one, when there is room (ADR 123).

validating ─► in_progress ─► finalizing ─► completed │ expired
    │              └───────► cancelling ─► cancelled
    └─► failed

Its rows are executed in slices of some lines. A row's request id is made of its batch's id and its line, so that each
attempt at it is the same request: one lease at a time, one ledger record.
"""

import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sluice.domain.ids import DIGITS, ULID_ALPHABET, ULID_FORM, request_time_ms, ulid_of
from sluice.domain.runs import MOST_DEATHS

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
LIVE: tuple[Status, ...] = ("validating", "in_progress", "finalizing", "cancelling")
ENDPOINTS: Mapping[str, str] = {
    "/v1/chat/completions": "inference",
    "/v1/completions": "inference",
    "/v1/embeddings": "embeddings",
    "/v1/responses": "inference",
}
"""Each with the scope that it needs."""
BATCH, LINES = "batch_", "0" * 6
PREFIX = 20  # characters of a ULID that a batch's rows share: its time, and 50 random bits
MOST_LIVE = 20  # an account's
MOST_ROWS = 50_000
MOST_LINE_BYTES = 1024 * 1024
MOST_SLICE_ROWS, MOST_SLICE_BYTES = 64, 4 * 1024 * 1024
SLICES_A_STEP = 8  # so many slices have as many rows, and the next ones one more: small batches show their progress
MOST_ERRORS = 100  # that a failed batch lists
WINDOW_MS = 24 * 3_600_000
KEPT_SECONDS = 30 * 86_400  # of the batch; its files stay until they are deleted
PROGRESS_SECONDS = 3 * 86_400  # of what only its workers need
OVERDUE_MS = 600_000  # after its end a live batch has lost its messages, and is driven on by whoever looks at it
EPOCHS = 16  # for the deaths of one admission's attempts


@dataclass(frozen=True)
class Progress:
    """`done`: the first lines of slices whose rows have their results. `undone`: rows that were not executed in time.
    `input_bytes`: of the copy of the input; `result_bytes`: of the slices that are done."""

    slices: int = 0
    done: frozenset[int] = frozenset()
    completed: int = 0
    failed: int = 0
    undone: int = 0
    input_bytes: int = 0
    result_bytes: int = 0

    @property
    def is_complete(self) -> bool:
        return len(self.done) >= self.slices

    @property
    def results(self) -> tuple[int, int]:
        """How many are in the output file, and in the error file."""
        return self.completed, self.failed + self.undone


@dataclass(frozen=True)
class Batch:
    """`times`: when it got each status, Unix ms. `claims`: of the API token that made it, as JSON. `counts`: rows in
    all, completed and failed; of a live batch those of its `Progress` hold."""

    account_id: str
    batch_id: str
    endpoint: str
    input_file_id: str
    claims: str
    created_ms: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    status: Status = "validating"
    times: Mapping[str, int] = field(default_factory=dict)
    counts: tuple[int, int, int] = (0, 0, 0)
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def expires_ms(self) -> int:
        return self.created_ms + WINDOW_MS

    def is_stuck(self, now_ms: int) -> bool:
        """Nobody validates it: its request died before its message was sent. Who looks at it sends one in OVERDUE_MS,
        and writes the time."""
        return self.status == "validating" and now_ms > self.times.get("validating", self.created_ms) + OVERDUE_MS

    def is_overdue(self, now_ms: int) -> bool:
        return self.is_live and now_ms > self.expires_ms + OVERDUE_MS


@dataclass(frozen=True)
class Row:
    """A line of the input, and why it cannot be a request; None if it can."""

    line: int
    custom_id: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)


class Wrong(Exception):
    """What is wrong with a line. `code`: as OpenAI names it."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


def new_batch_id(now_ms: int) -> str:
    raw = now_ms.to_bytes(6, "big") + secrets.token_bytes(10)
    return BATCH + (ulid_of(raw)[:PREFIX] + LINES).lower()


def is_batch_id(text: str) -> bool:
    rest = text.removeprefix(BATCH)
    is_ulid = rest == rest.lower() and ULID_FORM.fullmatch(rest.upper()) is not None
    return text.startswith(BATCH) and is_ulid and rest.endswith(LINES)


def row_id(batch_id: str, line: int) -> str:
    """The request id of a row; `line`: from 0."""
    digits = "".join(ULID_ALPHABET[line >> shift & 31] for shift in range(25, -1, -5))
    return "req_" + batch_id.removeprefix(BATCH).upper()[:PREFIX] + digits


def place_of(request_id: str) -> tuple[str, int]:
    """The inverse of `row_id`."""
    ulid = request_id.removeprefix("req_")
    return BATCH + (ulid[:PREFIX] + LINES).lower(), int(ulid[PREFIX:].translate(DIGITS), 32)


def slice_name(batch_id: str, line: int) -> str:
    """What a message names: the slice that has this line. Without a line it is the whole batch."""
    return f"{batch_id}:{line}"


def slice_rows(number: int) -> int:
    """How many rows the slice has, from 0."""
    return min(MOST_SLICE_ROWS, 1 + number // SLICES_A_STEP)


def first_epoch(request_id: str, now_ms: int) -> int:
    """Of an admission of a row. It is above those of all earlier ones, which may have been withdrawn, so that a process
    that was only held up does not take another's lease for its own."""
    return 1 + EPOCHS * max(0, now_ms - request_time_ms(request_id))


def is_given_up(epoch: int) -> bool:
    """Whether so many attempts since the admission have died that none follows. Each taker adds one to the epoch."""
    return (epoch - 1) % EPOCHS >= MOST_DEATHS


def row_of(raw: bytes, line: int, endpoint: str) -> Row:
    """Errors: Wrong."""
    try:
        given = json.loads(raw, parse_constant=_no_json, parse_float=_finite)
    except (ValueError, RecursionError):
        raise Wrong("invalid_json_line", "This line is not parseable as valid JSON.") from None
    if not isinstance(given, dict):
        raise Wrong("invalid_json_line", "This line is no JSON object.")
    custom_id, body = given.get("custom_id"), given.get("body")
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= 512:
        raise Wrong("invalid_custom_id", "Every line needs a custom_id, a string of 1 to 512 characters.", "custom_id")
    if given.get("method") != "POST":
        raise Wrong("invalid_method", "The method must be POST.", "method")
    if given.get("url") != endpoint:
        raise Wrong("mismatched_url", f"The url must be the batch's endpoint, {endpoint}.", "url")
    if not isinstance(body, dict):
        raise Wrong("invalid_body", "The body must be a JSON object.", "body")
    if body.get("stream"):
        raise Wrong("invalid_body", "A batch cannot stream. Leave stream out.", "body.stream")
    if body.get("background"):
        raise Wrong("invalid_body", "A batch runs in the background already. Leave background out.", "body.background")
    return Row(line, custom_id, body)


def _no_json(text: str) -> float:
    """NaN and Infinity, which Python reads and JSON does not have. Errors: ValueError."""
    raise ValueError(text)


def _finite(text: str) -> float:
    """Errors: ValueError."""
    return number if math.isfinite(number := float(text)) else _no_json(text)


def result_of(request_id: str, row: Row, status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the output, or with another status than 200 of the error file."""
    answered = {"status_code": status, "request_id": request_id, "body": body}
    return {"id": _result_id(request_id), "custom_id": row.custom_id, "response": answered, "error": None}


WHY_UNDONE = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was not executed, because the batch was cancelled.",
    "storage_full": "This request was not executed, because its answer has no room: this account's files and the "
    "results of its batches hold as much as they may. Delete files, then send it again.",
}


def undone(request_id: str, row: Row, code: str) -> dict[str, Any]:
    """Of a row that is not executed any more. `code`: of WHY_UNDONE."""
    error = {"code": code, "message": WHY_UNDONE[code]}
    return {"id": _result_id(request_id), "custom_id": row.custom_id, "response": None, "error": error}


def _result_id(request_id: str) -> str:
    return "batch_req_" + request_id.removeprefix("req_").lower()


def is_answered(result: Mapping[str, Any]) -> bool:
    return result["response"] is not None and result["response"]["status_code"] == 200
