"""One signed call to an AWS service of the JSON protocol (DynamoDB, SSM), over connections that stay open.

It does what botocore does for the two services that nearly every request needs, without the parts that make botocore
slow to import and to call: its models of the services, its endpoint rules, its event system (ADR 6, ADR 55).

Two policies say what is sent again. `ORDINARY` does as botocore's legacy mode. `HOT` is for the calls that every `/v1`
request makes: it gives up by a deadline, and also waits for a transaction that holds the item. Each call is safe to
repeat because its key or its condition makes it so, with one exception: see `repeat_silence`.
"""

import http.client
import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice.adapters.aws.access import Access, access, endpoint
from sluice.adapters.aws.http_call import exchange
from sluice.adapters.aws.http_pool import Pool
from sluice.adapters.aws.signing import json_signer

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
    """`attempts` in all, with pauses of up to `first_pause_seconds` times `growth` for each attempt made before.

    `repeated` are the refusals that say that nothing was done. Any answer of 500 and above is tried again, too.
    """

    attempts: int
    first_pause_seconds: float
    growth: int
    repeated: frozenset[str]
    connect_seconds: float
    read_seconds: float
    deadline_seconds: float = math.inf  # all attempts together


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
    """`target` is the prefix of an operation's name in `X-Amz-Target`; `version` is the protocol's."""

    name: str
    target: str
    version: str


DYNAMODB = Service("dynamodb", "DynamoDB_20120810", "1.0")
SSM = Service("ssm", "AmazonSSM", "1.1")


class Refused(Exception):
    """The service answered that it will not. `response` is shaped as in botocore's ClientError."""

    def __init__(self, code: str, answer: dict[str, Any]) -> None:
        message = str(answer.get("message") or answer.get("Message") or "")
        super().__init__(f"{code}: {message}")
        self.code = code
        self.response = {**answer, "Error": {"Code": code, "Message": message}}


class Unanswered(Exception):
    """No attempt was answered, or none in a way that makes sense."""


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
        """Address and credentials are found as botocore finds them, where they are not given."""
        self.service, self._policy, self._sleep = service, policy, sleep
        granted = granted or access()
        url = url or endpoint(service.name, granted.region)
        self._pool = Pool(url, connect_seconds=policy.connect_seconds)
        self._path = f"{self._pool.path_prefix}/"
        self._request_line = f"POST {self._path} HTTP/1.1\r\n"
        self._content_type = f"application/x-amz-json-{service.version}"
        self._sign = json_signer(granted, service.name, self._path)

    def call(self, operation: str, request: dict[str, Any], *, repeat_silence: bool = True) -> dict[str, Any]:
        """`repeat_silence=False` does not repeat what met only silence, because the store may yet do it, after the
        repetition and all that followed from it. That matters to an admission alone: its lease may be settled by then,
        and a late first copy would be charged a second time.

        Errors: Refused, Unanswered.
        """
        body = json.dumps(request, separators=(",", ":")).encode()
        give_up = time.monotonic() + self._policy.deadline_seconds
        problem: Exception = Unanswered()
        for attempt in range(self._policy.attempts):
            if attempt:
                pause = random.uniform(0, self._policy.first_pause_seconds * self._policy.growth**attempt)
                if time.monotonic() + pause > give_up:
                    break
                self._sleep(pause)
            try:
                status, answer = self._send(operation, body)
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

    def _send(self, operation: str, body: bytes) -> tuple[int, dict[str, Any]]:
        headers = {
            "content-type": self._content_type,
            "host": self._pool.host_header,
            "x-amz-target": f"{self.service.target}.{operation}",
        }
        lines = "".join([f"{name}: {value}\r\n" for name, value in self._sign(headers, body).items()])
        head = (self._request_line + lines).encode("ascii")
        status, raw = exchange(self._pool, head, body, self._policy.read_seconds)
        answer = json.loads(raw)  # ValueError where nothing came: both services answer with an object, always
        if not isinstance(answer, dict):
            raise ValueError("no JSON object")
        return status, answer
