"""Ids: opaque strings with a readable prefix. Randomness is the operating system's."""

import secrets

from ulid import ULID

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u to misread
RANDOM_CHARACTERS = 16  # 80 bits: collisions are out of reach, and the grant stays under 1 KB


def random_id(prefix: str) -> str:
    """`usr_`, `tok_`, `ses_`, `mail_`, `chat_` and the like, followed by 80 random bits."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))


def is_id(prefix: str, text: str) -> bool:
    """Whether it has the form of a `random_id`: anything else names nothing, and is no key to ask a store for."""
    rest = text.removeprefix(prefix)
    return text.startswith(prefix) and len(rest) == RANDOM_CHARACTERS and set(rest) <= set(ALPHABET)


def request_id(now_ms: int) -> str:
    """A server-made, time-ordered request id: `req_` and a ULID, so a ledger query by range is a query by time."""
    return "req_" + str(ULID.from_timestamp(now_ms / 1000))


def request_id_at(now_ms: int, *, last: bool = False) -> str:
    """The smallest (or, with `last`, largest) request id of a millisecond: a bound for range queries."""
    tail = b"\xff" * 10 if last else b"\x00" * 10
    return "req_" + str(ULID.from_bytes(now_ms.to_bytes(6, "big") + tail))


def request_time_ms(identifier: str) -> int:
    """When a request id was made, in Unix milliseconds."""
    return ULID.from_str(identifier.removeprefix("req_")).milliseconds
