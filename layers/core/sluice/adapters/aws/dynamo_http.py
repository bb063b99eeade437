"""DynamoDB's JSON protocol over a small signed keep-alive client, for the calls every request makes.

Errors: `ConditionFailed` with the item as it stands, `StoreUnavailable` for
everything else, after bounded retries with jitter (AWS architecture blog, "Exponential backoff and jitter").
"""

import http.client
import json
import logging
import random
import time
from collections.abc import Callable
from typing import Any

from sluice.adapters.aws.http_exchange import exchange
from sluice.adapters.aws.http_pool import Pool
from sluice.domain.errors import StoreUnavailable

log = logging.getLogger("sluice.store")

ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.025
CONNECT_SECONDS = 1.0
READ_SECONDS = 2.0
DEADLINE_SECONDS = 4.0  # all attempts together
RETRIABLE = frozenset(
    {
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionConflictException",  # a transaction holds the item; the write was not made
    }
)
Signer = Callable[[str, bytes], dict[str, str]]  # (x-amz-target, body) → headers


class ConditionFailed(Exception):
    """A conditional write was refused; `item` is what the store holds (DynamoDB JSON), None where nothing is."""

    def __init__(self, item: dict[str, Any] | None) -> None:
        super().__init__("condition failed")
        self.item = item


class DynamoHttp:
    def __init__(self, url: str, sign: Signer) -> None:
        self._pool = Pool(url, connect_seconds=CONNECT_SECONDS)
        self._request_line = f"POST {self._pool.path_prefix}/ HTTP/1.1\r\n".encode()
        self._sign = sign

    def call(self, operation: str, request: dict[str, Any], *, patient: bool = True) -> dict[str, Any]:
        """One DynamoDB call. Every write made through here is safe to repeat: its condition or key makes it so.

        `patient=False` does not repeat what was only met with silence: the store may yet do it, after the repetition
        and all that followed from it. That matters to an admission alone, whose lease may be settled by then.
        """
        body = json.dumps(request, separators=(",", ":")).encode()
        target = "DynamoDB_20120810." + operation
        give_up = time.monotonic() + DEADLINE_SECONDS
        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                pause = random.uniform(0, FIRST_PAUSE_SECONDS * 4**attempt)
                if time.monotonic() + pause > give_up:
                    break
                time.sleep(pause)
            try:
                status, answer = self._send(target, body)
            except TimeoutError as exc:
                problem = str(exc)
                if not patient:
                    break
                continue
            except (OSError, http.client.HTTPException, ValueError) as exc:
                problem = f"{type(exc).__name__}: {exc}"
                continue
            if status == 200:
                return answer
            kind = str(answer.get("__type", "")).rpartition("#")[2]
            if kind == "ConditionalCheckFailedException":
                raise ConditionFailed(answer.get("Item"))
            problem = f"{status} {kind} {answer.get('message') or answer.get('Message') or ''}"
            if status < 500 and kind not in RETRIABLE:
                break
        log.warning("store call failed: %s: %s", operation, problem)
        raise StoreUnavailable()

    def _send(self, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
        signed = self._sign(target, body)
        head = self._request_line + b"".join(f"{name}: {value}\r\n".encode() for name, value in signed.items())
        status, raw = exchange(self._pool, head, body, READ_SECONDS)
        answer = json.loads(raw)
        if not isinstance(answer, dict):
            raise ValueError("no JSON object")
        return status, answer
