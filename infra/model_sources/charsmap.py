"""SentencePiece's map of characters to replacements, as a double array.

What the bytes mean: `precompiled_charsmap` of sentencepiece's `normalizer_spec`, read by darts-clone.
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

MOST_UNITS = 1 << 20
NEAR = 1 << 21
"""A larger offset has to be a multiple of 256, because its last eight bits are not stored."""
HAS_LEAF, IS_LEAF, FAR_STEP = 1 << 8, 1 << 31, 256
LABEL_AND_LEAF = 0x800000FF

Node = dict[int | None, Any]
"""A byte → the next node; None → where the replacement begins in the text."""


def packed(pairs: Mapping[bytes, bytes]) -> bytes:
    """The size of the array, the array, and the replacements, each ended by a zero."""
    text, root = bytearray(), Node()
    for key, replacement in sorted(pairs.items()):
        node = root
        for byte in key:
            node = node.setdefault(byte, {})
        node[None] = len(text)
        text += replacement + b"\0"
    array = _DoubleArray().of(root)
    return struct.pack("<I", len(array)) + array + bytes(text)


class _DoubleArray:
    def __init__(self) -> None:
        self._used: Any = np.zeros(MOST_UNITS, bool)
        self._units: Any = np.zeros(MOST_UNITS, np.uint64)
        self._used[0] = True
        self._bases: set[int] = set()
        self._first_free = self._last = 1

    def of(self, root: Node) -> bytes:
        self._place(root, 0)
        return bytes(self._units[: (self._last | 0xFF) + 1].astype("<u4").tobytes())

    def _place(self, node: Node, at: int) -> None:
        labels = sorted(0 if label is None else label for label in node)
        base = self._base_for(labels, at)
        self._bases.add(base)
        while self._used[self._first_free]:
            self._first_free += 1
        self._units[at] = (int(self._units[at]) & LABEL_AND_LEAF) | ((base ^ at) << 10)
        if None in node:
            self._units[at] |= np.uint64(HAS_LEAF)
        for label in labels:
            self._used[base ^ label] = True
            self._last = max(self._last, base ^ label)
        for key, child in node.items():
            self._units[base ^ (key or 0)] = child | IS_LEAF if key is None else key
        for key, child in node.items():
            if key is not None:
                self._place(child, base ^ key)

    def _base_for(self, labels: list[int], at: int) -> int:
        base = self._first_free
        while (
            base in self._bases
            or any(self._used[base ^ label] for label in labels)
            or ((base ^ at) >= NEAR and (base ^ at) % FAR_STEP)
        ):
            base += 1
        return base
