"""Vendored files equal the published ones, so that their origin can be checked."""

import hashlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AXE = "tests/browser/vendor/axe-core-4.14.1"
SHA256 = {
    f"{AXE}/axe.min.js": "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
}
LICENCES = [f"{AXE}/{name}" for name in ("LICENSE", "LICENSE-3RD-PARTY.txt")]


@pytest.mark.parametrize("name", sorted(SHA256))
def test_file_is_as_published(name: str) -> None:
    assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", LICENCES)
def test_its_licence_goes_with_it(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0
