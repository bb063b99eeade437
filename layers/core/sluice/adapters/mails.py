"""The mails table: what is to be sent, from `queued` over `sending` to `sent` or `failed`.

An unsent mail carries `unsent_shard` and `due`, the keys of the sparse index `unsent`, so that the sweeper finds the
ones that stuck by one small query a shard, never by a scan. A sent one has neither.
"""

import zlib
from typing import Any

from sluice.adapters import dynamo
from sluice.domain.mails import KEPT_S, Kind, Mail

SHARDS = 4
UNSENT = "queued", "sending"


def due_key(due_ms: int) -> str:
    """Milliseconds as text that sorts by time: index keys are strings everywhere."""
    return f"{due_ms:015d}"


def shard_of(mail_id: str) -> str:
    return str(zlib.crc32(mail_id.encode()) % SHARDS)


def mail_item(mail: Mail) -> dict[str, Any]:
    """The item as a transaction puts it, in DynamoDB's form."""
    plain: dict[str, Any] = {
        "mail_id": mail.mail_id,
        "kind": mail.kind.value,
        "account_id": mail.account_id,
        "to": mail.to,
        "created_ms": mail.created_ms,
        "expires_ms": mail.expires_ms,
        "data": dict(mail.data),
        "state": mail.state,
        "attempts": mail.attempts,
        "schema": mail.schema,
        "ttl_s": mail.created_ms // 1000 + KEPT_S,
    }
    if mail.state in UNSENT:
        plain |= {"due": due_key(mail.due_ms), "unsent_shard": shard_of(mail.mail_id)}
    return dynamo.item(plain)


def mail_from(stored: dict[str, Any]) -> Mail:
    plain = dynamo.values(stored)
    return Mail(
        mail_id=plain["mail_id"],
        kind=Kind(plain["kind"]),
        account_id=plain["account_id"],
        to=plain["to"],
        created_ms=plain["created_ms"],
        expires_ms=plain["expires_ms"],
        due_ms=int(plain.get("due", 0)),
        data=plain["data"],
        state=plain["state"],
        attempts=plain["attempts"],
        sent_ms=plain.get("sent_ms"),
        problem=plain.get("problem", ""),
        schema=plain["schema"],
    )
