"""Vectors of length 1 as bytes (32-bit floats), their signs as an integer, and how near two are.

The signs are a coarse picture: the number of equal ones orders passages well enough to choose which to compare exactly
(binary quantisation, then rescoring), at a tenth of a microsecond each and without any library.
"""

import math
import sys
from array import array
from collections.abc import Sequence


def packed(numbers: Sequence[float]) -> bytes:
    """Length 1. Errors: ValueError for a vector that has no direction."""
    length = math.sqrt(sum(number * number for number in numbers))
    if not length or not math.isfinite(length):
        raise ValueError("a vector without direction")
    made = array("f", (number / length for number in numbers))
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()


def unpacked(vector: bytes) -> Sequence[float]:
    made = array("f")
    made.frombytes(vector)
    if sys.byteorder == "big":
        made.byteswap()
    return made


def signs(vector: bytes) -> bytes:
    """One bit a number, 1 for what is not negative."""
    bits = 0
    for number in unpacked(vector):
        bits = bits << 1 | (number >= 0)
    return bits.to_bytes((len(vector) // 4 + 7) // 8, "big")


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Of vectors of length 1. Of two models' vectors, which do not compare: -1."""
    return sum(a * b for a, b in zip(one, other, strict=True)) if len(one) == len(other) else -1.0
