"""Vendored files equal the published ones, so that their origin can be checked."""

import hashlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SWAGGER_UI = "functions/web/static/swagger-ui-5.35.0"
AXE = "tests/browser/vendor/axe-core-4.14.1"
SHA256 = {
    f"{SWAGGER_UI}/swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    f"{SWAGGER_UI}/swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
    f"{AXE}/axe.min.js": "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
}
LICENCES = [
    *(f"{SWAGGER_UI}/{name}" for name in ("LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt")),
    *(f"{AXE}/{name}" for name in ("LICENSE", "LICENSE-3RD-PARTY.txt")),
]


@pytest.mark.parametrize("name", sorted(SHA256))
def test_file_is_as_published(name: str) -> None:
    assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", LICENCES)
def test_its_licence_goes_with_it(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0
