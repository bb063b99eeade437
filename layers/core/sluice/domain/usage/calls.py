"""Which requests are attempts of one call. OpenAI's SDKs number them (`x-stainless-retry-count`) and name nothing else.

A mark is the number, a dot, and a keyed digest of path and body: `1.Zk3x9aQ_`. The key is the caller's own credential,
which is not stored, so that a mark shows nothing of the body and cannot be guessed from one.
"""

import hmac
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterable

from sluice.domain.usage.ledger import LedgerRecord

DIGEST_BYTES = 6
MOST_DIGITS = 2
BETWEEN_MS = 15 * 60_000  # two attempts: the SDKs wait ten minutes for an answer


def mark(attempt: str, credential: str, path: str, body: bytes) -> str | None:
    """The mark of a request, or None if its attempt is no number from 0 to 99."""
    if not (attempt.isascii() and attempt.isdigit() and len(attempt) <= MOST_DIGITS):
        return None
    digest = hmac.digest(credential.encode(), path.encode() + b"\0" + body, "sha256")[:DIGEST_BYTES]
    return f"{int(attempt)}.{urlsafe_b64encode(digest).decode()}"


def attempt_of(record: LedgerRecord) -> int:
    """0 for the first attempt. Only for a record with a mark."""
    return int((record.call or "").partition(".")[0])


def calls(records: Iterable[LedgerRecord]) -> dict[str, str]:
    """Request id → id of its call, which is the request id of its first attempt among `records`; marked records only.

    An attempt continues the newest earlier one of the same API token, path and body that has a lower number, is at most
    `BETWEEN_MS` older and was not continued yet.
    """
    found: dict[str, str] = {}
    open_ends: defaultdict[tuple[str, str], dict[int, list[LedgerRecord]]] = defaultdict(dict)  # by attempt, in order
    for record in sorted((one for one in records if one.call), key=lambda one: one.request_id):
        ends = open_ends[record.token_id, str(record.call).partition(".")[2]]
        attempt = attempt_of(record)
        lower = (same[-1] for earlier, same in ends.items() if earlier < attempt and same)
        before = max(lower, key=lambda one: one.request_id, default=None)
        if before is not None and record.created_ms - before.created_ms <= BETWEEN_MS:
            ends[attempt_of(before)].pop()
            found[record.request_id] = found[before.request_id]
        else:
            found[record.request_id] = record.request_id
        ends.setdefault(attempt, []).append(record)
    return found
