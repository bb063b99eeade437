"""Limits on one file, and the error that all readers raise."""

import re
from collections.abc import Iterator

MOST_CHARACTERS = 8_000_000
MOST_BLOCKS = 200_000
# Control characters and lone surrogates: stores reject them, and searches do not need them.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufeff\ufffe\uffff]")


class CannotRead(Exception):
    """The file cannot be read. The message is for the file's owner."""


def capped(blocks: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The blocks with text, cleaned. Errors: CannotRead when there is too much text."""
    characters = 0
    for number, (level, text) in enumerate(blocks):
        clean = UNPRINTABLE.sub("", text).strip()
        characters += len(clean)
        if characters > MOST_CHARACTERS or number > MOST_BLOCKS:
            raise CannotRead(f"The file holds more than {MOST_CHARACTERS // 1_000_000} million characters of text.")
        if clean:
            yield level, clean
