"""How often a test that draws or races at random repeats itself: fully in `make test-full`, less in `make test`."""

import os

FULL = os.environ.get("SLUICE_TEST_ROUNDS") == "full"


def rounds(full: int, few: int) -> int:
    return full if FULL else few
