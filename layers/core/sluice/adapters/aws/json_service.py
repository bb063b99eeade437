"""One call to an AWS service of the JSON protocol (DynamoDB, SSM), signed here, over connections that stay open.

What botocore does for the two services that nearly every request needs, without what makes it slow to start: its models
of the services, its endpoint rules, its event system (ADR 55). Signature Version 4 in plain Python: AWS's own C runtime
signs in a fifth of the time but takes 80 ms of CPU to load. Source: IAM user guide, "Create a signed AWS API request".
"""

import hashlib
import hmac
import http.client
import json
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sluice.adapters.aws.access import Access, access, endpoint
from sluice.adapters.aws.http_exchange import exchange
from sluice.adapters.aws.http_pool import Pool

ATTEMPTS = 3  # as botocore was told: once, and twice more
FIRST_PAUSE_SECONDS = 0.05
CONNECT_SECONDS = 2.0
READ_SECONDS = 2.0
ALGORITHM = "AWS4-HMAC-SHA256"
THROTTLED = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottledException",
        "ThrottlingException",
        "Throttling",
    }
)


class Refused(Exception):
    """The service answered that it will not. `response` is shaped as in botocore's ClientError."""

    def __init__(self, code: str, answer: dict[str, Any]) -> None:
        message = str(answer.get("message") or answer.get("Message") or "")
        super().__init__(f"{code}: {message}")
        self.response = {**answer, "Error": {"Code": code, "Message": message}}


class Unanswered(Exception):
    """No answer, or none that makes sense, to any attempt."""


class JsonService:
    """`target`: the prefix of the operation's name in `X-Amz-Target`; `version`: the protocol's, 1.0 or 1.1."""

    def __init__(self, service: str, target: str, version: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._service, self._target, self._sleep = service, target, sleep
        self._content_type = f"application/x-amz-json-{version}"
        self._access = access()
        self._pool = Pool(endpoint(service, self._access.region), connect_seconds=CONNECT_SECONDS)

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Repeated where it met no answer or was throttled: every call made through here is safe to repeat.

        Errors: Refused, Unanswered.
        """
        body = json.dumps(request, separators=(",", ":")).encode()
        problem: Exception = Unanswered()
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(random.uniform(0, FIRST_PAUSE_SECONDS * 2**attempt))
            try:
                status, answer = self._send(operation, body)
            except (OSError, http.client.HTTPException, ValueError) as exc:
                problem = exc
                continue
            if status == 200:
                return answer
            code = str(answer.get("__type", "")).rpartition("#")[2] or str(status)
            problem = Refused(code, answer)
            if status < 500 and code not in THROTTLED:
                break
        if isinstance(problem, Refused):
            raise problem
        raise Unanswered(f"{operation}: {type(problem).__name__}") from problem

    def close(self) -> None:
        self._pool.close()

    def _send(self, operation: str, body: bytes) -> tuple[int, dict[str, Any]]:
        status, raw = exchange(self._pool, self._head(operation, body), body, READ_SECONDS)
        answer = json.loads(raw) if raw else {}
        if not isinstance(answer, dict):
            raise ValueError("no JSON object")
        return status, answer

    def _head(self, operation: str, body: bytes) -> bytes:
        headers = {
            "content-type": self._content_type,
            "host": self._pool.host_header,
            "x-amz-target": f"{self._target}.{operation}",
        }
        signed = sign(self._access, self._service, f"{self._pool.path_prefix}/", headers, body, datetime.now(UTC))
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        return f"POST {self._pool.path_prefix}/ HTTP/1.1\r\n{lines}".encode("ascii")


def sign(
    granted: Access, service: str, path: str, headers: dict[str, str], body: bytes, now: datetime
) -> dict[str, str]:
    """→ the headers of a POST, signed. Names are in lower case."""
    keys = granted.credentials.get_frozen_credentials()
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    wanted = {**headers, "x-amz-date": moment, **({"x-amz-security-token": keys.token} if keys.token else {})}
    names = ";".join(sorted(wanted))
    listed = "".join(f"{name}:{wanted[name].strip()}\n" for name in sorted(wanted))
    request = f"POST\n{path}\n\n{listed}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{moment[:8]}/{granted.region}/{service}/aws4_request"
    text = f"{ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = ("AWS4" + keys.secret_key).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    signature = hmac.digest(key, text.encode(), hashlib.sha256).hex()
    credential = f"{ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**wanted, "authorization": credential}


def dynamodb_signer(host_header: str, region: str, credentials: Any) -> Callable[[str, bytes], dict[str, str]]:
    """As `signing.dynamodb_signer`, without what that one loads: `sign(target, body)` gives every header."""
    granted = Access(region, credentials)

    def sign_call(target: str, body: bytes) -> dict[str, str]:
        headers = {"content-type": "application/x-amz-json-1.0", "host": host_header, "x-amz-target": target}
        return sign(granted, "dynamodb", "/", headers, body, datetime.now(UTC))

    return sign_call
