"""A request with an `Idempotency-Key`: the same one again gets the same answer, and is charged once (ADR 121).

running ──► kept     its answer is told again
   │    ──► untold   it was answered, but with more than is kept
   │    ──► lost     its process died
   └ free again      401, 429, 503, and whatever was refused before it was admitted
"""

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Status = Literal["running", "kept", "untold", "lost"]
MOST_ANSWER_BYTES = 8 * 1024 * 1024  # of an answer that is kept
MOST_KEYS = 10_000  # of an account and a UTC day
# How long a claim lives without a lease: up to a minute in the queue (`Prefer: wait`), and counting before it.
CLAIM_MS = 120_000
ENDING_MS = 30_000  # from a settlement until the answer is kept
NEVER_KEPT = frozenset({401, 429, 503, 529})  # 529 is Anthropic's for an overloaded model
KEY = re.compile(r"[ -~]{1,255}")


@dataclass(frozen=True)
class Claim:
    """`key_id`: of account, API token, route and key. `fingerprint`: of the parsed body. It is keyed by the caller's
    key, which is not stored, so that a short body cannot be guessed from it."""

    account_id: str
    key_id: str
    request_id: str
    fingerprint: str
    status: Status = "running"


@dataclass(frozen=True)
class KeptAnswer:
    """`follows`: the background response whose events are the answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    follows: str | None = None


def key_id(token_id: str, route: str, key: str) -> str:
    return _text(hashlib.sha256(json.dumps([token_id, route, key]).encode()).digest())


def fingerprint(key: str, body: object) -> str:
    """`body`: JSON, or bytes. The order of an object's members makes no difference."""
    raw = body if isinstance(body, bytes) else json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return _text(hmac.digest(key.encode(), raw, "sha256"))


def _text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).decode().rstrip("=")
