"""Ids: random strings with a readable prefix."""

import secrets

from ulid import ULID

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: without i, l, o, u, which are easy to misread
RANDOM_CHARACTERS = 16  # 80 bits: no collisions, and the grant stays under 1 KB


def random_id(prefix: str) -> str:
    """The prefix (`usr_`, `tok_`, `ses_`, …), followed by 80 random bits from the operating system."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))


def is_id(prefix: str, text: str) -> bool:
    """Whether `text` has the form of a `random_id`. If not, it names nothing, and no store needs to be read."""
    rest = text.removeprefix(prefix)
    return text.startswith(prefix) and len(rest) == RANDOM_CHARACTERS and set(rest) <= set(ALPHABET)


def request_id(now_ms: int) -> str:
    """A time-ordered request id: `req_` and a ULID, so that a ledger query by id range is a query by time."""
    return "req_" + str(ULID.from_timestamp(now_ms / 1000))


def request_id_at(now_ms: int, *, last: bool = False) -> str:
    """The smallest (or, with `last`, the largest) request id of a millisecond, as a bound for range queries."""
    tail = b"\xff" * 10 if last else b"\x00" * 10
    return "req_" + str(ULID.from_bytes(now_ms.to_bytes(6, "big") + tail))


def request_time_ms(identifier: str) -> int:
    """The time a request id was made, in Unix milliseconds."""
    return ULID.from_str(identifier.removeprefix("req_")).milliseconds
