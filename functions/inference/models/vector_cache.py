"""Vectors of inputs seen before, so that the same text is not computed again (docs/adr/0110).

Each account has its own, because how fast an answer comes would tell one account what another has sent.
"""

import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

Vector = Any
ENTRY_BYTES = 256
"""What an entry takes beside its vector."""


class VectorCache:
    """At most `most_bytes`; the least recently used vectors go first. Any thread may use it. 0 keeps nothing."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._held: OrderedDict[bytes, Vector] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, account: str, tokens: Sequence[int]) -> Vector | None:
        key = _key(account, tokens)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, account: str, tokens: Sequence[int], vector: Vector) -> None:
        key = _key(account, tokens)
        with self._lock:
            if key not in self._held:
                self._bytes += vector.nbytes + ENTRY_BYTES
            self._held[key] = vector
            self._held.move_to_end(key)
            while self._bytes > self._most_bytes:
                _, oldest = self._held.popitem(last=False)
                self._bytes -= oldest.nbytes + ENTRY_BYTES


def _key(account: str, tokens: Sequence[int]) -> bytes:
    """`key`: so that no two accounts and texts can meet in one digest."""
    return blake2b(array("q", tokens).tobytes(), digest_size=20, key=blake2b(account.encode()).digest()).digest()
