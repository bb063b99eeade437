"""Vendored files are the published ones, so what their licence and their maintainers vouch for holds."""

import hashlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "functions" / "web" / "static" / "swagger-ui-5.35.0"
SHA256 = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}


@pytest.mark.parametrize("name", sorted(SHA256))
def test_file_is_as_published(name: str) -> None:
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"])
def test_its_licence_goes_with_it(name: str) -> None:
    assert (FOLDER / name).stat().st_size > 0
