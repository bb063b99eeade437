"""Vendored files equal the published ones, so that their origin can be checked."""

import hashlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = "layers/core/sluice/pages/static/vendor"
AXE = "tests/browser/vendor/axe-core-4.14.1"
OF_PAGES = {
    "dompurify-3.4.18/purify.min.js": "8053ee2a6a09f9d50f7fcd6fb7f07072f52c7f3fa9aa12147cab4feaf65ee970",
    "highlight.js-11.12.0/highlight.min.js": "8ab71eb09c51f501e5e25157d9cff100e46cc29bcbfc744d0b746d451fca7f53",
    "htmx-4.0.1/htmx.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "katex-0.19.1/katex.min.js": "fa140498b8cfc8302cbe5e7cb1bdbc1f952bc38b3fa258ede09e73edbf9a74bc",
    "markdown-it-15.0.3/markdown-it.umd.min.js": "391f2aa638e75e6c7859d0a5c5650ef0956722a45998f17e05b83bc655778e1e",
    "uplot-1.6.32/uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot-1.6.32/uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
SHA256 = {
    f"{AXE}/axe.min.js": "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
    **{f"{OURS}/{name}": digest for name, digest in OF_PAGES.items()},
}
LICENCES = [f"{AXE}/LICENSE-3RD-PARTY.txt", *{f"{name.rpartition('/')[0]}/LICENSE" for name in SHA256}]


@pytest.mark.parametrize("name", sorted(SHA256))
def test_file_is_as_published(name: str) -> None:
    assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", sorted(LICENCES))
def test_its_licence_goes_with_it(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0


def test_no_file_is_vendored_without_its_hash() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / OURS).rglob("*.*s")}
    assert found == {name for name in SHA256 if name.startswith(OURS)}
