"""Ids: random strings with a readable prefix, and ULIDs, which sort by time (https://github.com/ulid/spec).

The package `python-ulid` reads its own version from the installed metadata when it is imported: 9 ms of a cold start.
"""

import re
import secrets
from threading import Lock

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: without i, l, o, u, which are easy to misread
ULID_ALPHABET = ALPHABET.upper()
PAIRS = tuple(first + second for first in ULID_ALPHABET for second in ULID_ALPHABET)
ULID_FORM = re.compile(f"[{ULID_ALPHABET}]{{26}}")
DIGITS = str.maketrans(ULID_ALPHABET, "0123456789ABCDEFGHIJKLMNOPQRSTUV")  # those of Python's base 32
ULID_RANDOM_BITS = 80
RANDOM_CHARACTERS = 16  # 80 bits: no collisions, and the grant stays under 1 KB


def random_id(prefix: str) -> str:
    """The prefix (`usr_`, `tok_`, `ses_`, …), followed by 80 random bits from the operating system."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))


def is_id(prefix: str, text: str) -> bool:
    """Whether `text` has the form of a `random_id`. If not, it names nothing, and no store needs to be read."""
    rest = text.removeprefix(prefix)
    return text.startswith(prefix) and len(rest) == RANDOM_CHARACTERS and set(rest) <= set(ALPHABET)


class _Newest:
    """The newest ULID's time and random part. The next of its millisecond is one more, so that it sorts after."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ms, self._random = -1, 0

    def next(self, now_ms: int) -> int:
        with self._lock:
            self._random = self._random + 1 if now_ms == self._ms else secrets.randbits(ULID_RANDOM_BITS)
            self._ms = now_ms
            return self._random & ((1 << ULID_RANDOM_BITS) - 1)


_newest = _Newest()


def ulid(now_ms: int) -> str:
    """26 characters: 48 bits of Unix milliseconds and 80 random bits."""
    return ulid_of(now_ms.to_bytes(6, "big") + _newest.next(now_ms).to_bytes(10, "big"))


def ulid_of(raw: bytes) -> str:
    """`raw`: 16 bytes."""
    value = int.from_bytes(raw, "big")
    return "".join([PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])


def ulid_time_ms(text: str) -> int:
    """The milliseconds in a ULID. Errors: ValueError, if it is none."""
    if not ULID_FORM.fullmatch(text := text.upper()):
        raise ValueError("a ULID has 26 characters of base 32")
    return int(text.translate(DIGITS), 32) >> ULID_RANDOM_BITS


def request_id(now_ms: int) -> str:
    """A time-ordered request id: `req_` and a ULID, so that a ledger query by id range is a query by time."""
    return "req_" + ulid(now_ms)


def request_id_at(now_ms: int, *, last: bool = False) -> str:
    """The smallest (or, with `last`, the largest) request id of a millisecond, as a bound for range queries."""
    tail = b"\xff" * 10 if last else b"\x00" * 10
    return "req_" + ulid_of(now_ms.to_bytes(6, "big") + tail)


def request_time_ms(identifier: str) -> int:
    """The time a request id was made, in Unix milliseconds."""
    return ulid_time_ms(identifier.removeprefix("req_"))
