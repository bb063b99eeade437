"""One signed call to an AWS service of the JSON protocol (DynamoDB, its streams, SSM), over keep-alive connections.

It replaces botocore where a call is made often, because botocore is slow to import and to
call: it loads service models, endpoint rules and an event system (ADR 6, ADR 55).

Two policies say what is retried. `ORDINARY` retries as botocore's legacy mode. `HOT` is for the calls that every `/v1`
request makes: it has a deadline, and also retries while a transaction holds the item. Each call is safe to repeat
because of its key or its condition, with two exceptions: see `repeat_silence` and `once`.
"""

import http.client
import json
import math
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pydantic_core

from sluice.adapters.aws.access import Access, access, endpoint
from sluice.adapters.aws.http_call import exchange
from sluice.adapters.aws.http_pool import Pool
from sluice.adapters.aws.signing import json_signer, unsigned
from sluice.adapters.aws.unix_sockets import store_connection, store_socket
from sluice.domain import quick_json

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


@dataclass(frozen=True)
class Policy:
    """At most `attempts`. Pauses last up to `first_pause_seconds`, multiplied by `growth` for each earlier attempt.

    `repeated`: the refusals after which nothing was done. Answers with status 500 and above are retried, too.
    """

    attempts: int
    first_pause_seconds: float
    growth: int
    repeated: frozenset[str]
    connect_seconds: float
    read_seconds: float
    deadline_seconds: float = math.inf  # for all attempts together


ORDINARY = Policy(3, 0.05, 2, THROTTLED, connect_seconds=2.0, read_seconds=2.0)
HOT = Policy(
    attempts=4,
    first_pause_seconds=0.025,
    growth=4,
    repeated=THROTTLED | {"TransactionConflictException"},
    connect_seconds=1.0,
    read_seconds=2.0,
    deadline_seconds=4.0,
)


@dataclass(frozen=True)
class Service:
    """`name`: as it is signed. `target`: the prefix of an operation's name in `X-Amz-Target`. `version`: of the JSON
    protocol. `host`: the first part of its address, where that is not its name."""

    name: str
    target: str
    version: str
    host: str = ""


DYNAMODB = Service("dynamodb", "DynamoDB_20120810", "1.0")
STREAMS = Service("dynamodb", "DynamoDBStreams_20120810", "1.0", "streams.dynamodb")
SSM = Service("ssm", "AmazonSSM", "1.1")


def _json(request: dict[str, Any]) -> bytes:
    try:
        return pydantic_core.to_json(request)  # takes a quarter of the standard library's time
    except ValueError:  # a lone surrogate, which only the standard library can write
        return json.dumps(request, separators=(",", ":")).encode()


def _store_opened(service: Service) -> Callable[[float], socket.socket] | None:
    path = store_socket() if service.name == DYNAMODB.name else ""
    return partial(store_connection, path) if path else None


class Refused(Exception):
    """The service refused the call. `response` has the form of botocore's `ClientError.response`."""

    def __init__(self, code: str, answer: dict[str, Any]) -> None:
        message = str(answer.get("message") or answer.get("Message") or "")
        super().__init__(f"{code}: {message}")
        self.code = code
        self.response = {**answer, "Error": {"Code": code, "Message": message}}


class Unanswered(Exception):
    """No attempt got a valid answer."""


class JsonService:
    def __init__(
        self,
        service: Service,
        policy: Policy = ORDINARY,
        *,
        url: str = "",
        granted: Access | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`url` and `granted` default to the endpoint and credentials that botocore would use."""
        self.service, self._policy, self._sleep = service, policy, sleep
        granted = granted or access()
        opened = None if url else _store_opened(service)
        url = url or endpoint(service.host or service.name, granted.region)
        self._pool = Pool(url, connect_seconds=policy.connect_seconds, opened=opened)
        self._path = f"{self._pool.path_prefix}/"
        self._request_line = f"POST {self._path} HTTP/1.1\r\n"
        self._content_type = f"application/x-amz-json-{service.version}"
        self._sign = unsigned if opened else json_signer(granted, service.name, self._path)

    def call(
        self, operation: str, request: dict[str, Any], *, repeat_silence: bool = True, once: bool = False
    ) -> dict[str, Any]:
        """`repeat_silence=False`: do not retry a call without an answer, because the store may execute it after the
        retry. Only an admission needs this: if its lease is settled by then, the late first copy would be charged a
        second time. `once`: send it once, whatever happens, because a second execution would be wrong.

        Errors: Refused, Unanswered.
        """
        body = _json(request)
        give_up = time.monotonic() + self._policy.deadline_seconds
        problem: Exception = Unanswered()
        for attempt in range(1 if once else self._policy.attempts):
            if attempt:
                pause = random.uniform(0, self._policy.first_pause_seconds * self._policy.growth**attempt)
                if time.monotonic() + pause > give_up:
                    break
                self._sleep(pause)
            try:
                status, answer = self._send(operation, body, once=once)
            except (OSError, http.client.HTTPException, ValueError) as exc:
                problem = exc
                if isinstance(exc, TimeoutError) and not repeat_silence:
                    break
                continue
            if status == 200:
                return answer
            code = str(answer.get("__type", "")).rpartition("#")[2] or str(status)
            problem = Refused(code, answer)
            if status < 500 and code not in self._policy.repeated:
                break
        if isinstance(problem, Refused):
            raise problem
        raise Unanswered(f"{operation}: {type(problem).__name__}: {problem}") from problem

    def close(self) -> None:
        self._pool.close()

    def _send(self, operation: str, body: bytes, *, once: bool) -> tuple[int, dict[str, Any]]:
        headers = {
            "content-type": self._content_type,
            "host": self._pool.host_header,
            "x-amz-target": f"{self.service.target}.{operation}",
        }
        lines = "".join([f"{name}: {value}\r\n" for name, value in self._sign(headers, body).items()])
        head = (self._request_line + lines).encode("ascii")
        status, raw = exchange(self._pool, head, body, self._policy.read_seconds, once=once)
        answer = quick_json.loads(raw)  # ValueError if it is empty, because both services always answer with an object
        if not isinstance(answer, dict):
            raise ValueError("no JSON object")
        return status, answer
