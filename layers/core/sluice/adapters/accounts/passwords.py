"""Password hashes: argon2id with OWASP's parameters, a few at a time.

A hash takes about 20 ms of CPU and 19 MiB. argon2 releases the interpreter lock, so that streams continue meanwhile.
"""

from collections.abc import Callable, Mapping
from functools import cache
from itertools import count, dropwhile
from pathlib import Path
from threading import BoundedSemaphore
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from sluice.domain.accounts.passwords import normalised
from sluice.domain.errors import Overloaded

Result = TypeVar("Result")

MEMORY_KIB = 19 * 1024  # OWASP Password Storage Cheat Sheet: argon2id, 19 MiB, t=2, p=1
TIME_COST = 2
PARALLELISM = 1
PARALLEL_HASHES = 4  # in a process: 76 MiB at most, so that a flood of logins leaves room for other work
WAIT_SECONDS = 5.0
LIST_FILE = "common_passwords.txt"


class Passwords:
    """`sluice.ports.PasswordHashes` by argon2-cffi."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(TIME_COST, MEMORY_KIB, PARALLELISM, type=Type.ID)
        self._places = BoundedSemaphore(PARALLEL_HASHES)
        # Of no password, with today's parameters: 16 bytes of salt and 32 of hash, all of them zero.
        self._nobodys = f"$argon2id$v=19$m={MEMORY_KIB},t={TIME_COST},p={PARALLELISM}${'A' * 22}${'A' * 43}"

    def hash(self, password: str, salt: bytes | None = None) -> str:
        """Errors: Overloaded when too many hashes are running."""
        return self._run(lambda: self._hasher.hash(normalised(password), salt=salt))

    def verify(self, password_hash: str | None, password: str) -> bool:
        """Without a hash (unknown address, no password set) it does the same work and returns False. Errors:
        Overloaded."""
        against = password_hash or self._nobodys
        return self._run(lambda: self._matches(against, password)) and bool(password_hash)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, normalised(password))
        except (VerificationError, InvalidHashError):
            return False

    def _run(self, work: Callable[[], Result]) -> Result:
        if not self._places.acquire(timeout=WAIT_SECONDS):
            raise Overloaded()
        try:
            return work()
        finally:
            self._places.release()


@cache
def common_passwords() -> Mapping[str, int]:
    """The bundled list, case-folded password → rank from 0. The header of its file names the source."""
    lines = Path(__file__).with_name(LIST_FILE).read_text(encoding="utf-8").splitlines()
    return dict(zip(dropwhile(lambda line: not line or line.startswith("# "), lines), count(), strict=False))
