"""docs/adr: every decision is listed, short and complete; every unused number is explained."""

import re

import pytest

from tests.contract import markdown
from tests.contract.markdown import ROOT

FOLDER = ROOT / "docs" / "adr"
PAGE = markdown.read("docs/adr/README.md")
FILES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
MOST_LINES = 100
SPAN = re.compile(r"(\d+)(?:–(\d+))?")


def numbers(text: str) -> set[int]:
    """`15–19, 23` → 15 to 19, and 23."""
    return {number for low, high in SPAN.findall(text) for number in range(int(low), int(high or low) + 1)}


def test_every_decision_is_listed_once_under_its_number() -> None:
    listed = re.findall(r"^- \[(\d+)\]\(([^)]+)\) .+\.$", PAGE, re.MULTILINE)
    assert sorted(name for _, name in listed) == [path.name for path in FILES]
    assert all(int(number) == int(name[:4]) for number, name in listed)


def test_every_number_is_used_or_listed_as_unused() -> None:
    used = {int(path.name[:4]) for path in FILES}
    blocks, unused = set[int](), set[int]()
    for block, _, free in markdown.rows(PAGE):
        blocks |= numbers(block)
        unused |= numbers(free)
    assert used | unused == blocks and not used & unused


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_a_decision_is_short_and_has_all_its_parts(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert text.startswith(f"# {int(name[:4])}. ")
    assert len(text.splitlines()) < MOST_LINES
    assert all(f"\n## {part}\n" in text for part in ("Context", "Choice", "Rejected"))
