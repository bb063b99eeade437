"""What one file may cost, and the one error its readers raise."""

import re
from collections.abc import Iterator

MOST_CHARACTERS = 8_000_000
MOST_BLOCKS = 200_000
# Controls, lone surrogates and the like: no store takes them, and no search asks for them.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufeff\ufffe\uffff]")


class CannotRead(Exception):
    """The message is for the file's owner."""


def capped(blocks: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Blocks that hold text, cleaned. Errors: CannotRead where it is too much."""
    characters = 0
    for number, (level, text) in enumerate(blocks):
        clean = UNPRINTABLE.sub("", text).strip()
        characters += len(clean)
        if characters > MOST_CHARACTERS or number > MOST_BLOCKS:
            raise CannotRead(f"The file holds more than {MOST_CHARACTERS // 1_000_000} million characters of text.")
        if clean:
            yield level, clean
