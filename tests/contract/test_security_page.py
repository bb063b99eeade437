"""docs/security.md goes through every item of OWASP ASVS 5.0.0 of level 1 and 2, once, and the tests it names exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text().split("## OWASP ASVS 5.0", 1)[1]
ROWS = re.findall(r"^\| ([0-9][^|]*?) \| (.*?) \| (.*?) ?\|$", PAGE, re.MULTILINE)
# The standard's ids of both levels: chapter, section, and how many items from 1 on, or which.
ITEMS: dict[str, range | tuple[int, ...]] = {
    "1.1": range(1, 3), "1.2": range(1, 10), "1.3": range(1, 12), "1.4": range(1, 4), "1.5": range(1, 3),
    "2.1": range(1, 4), "2.2": range(1, 4), "2.3": range(1, 5), "2.4": range(1, 2), "3.2": range(1, 3),
    "3.3": range(1, 5), "3.4": range(1, 7), "3.5": range(1, 6), "3.7": range(1, 3), "4.1": range(1, 4),
    "4.2": range(1, 2), "4.3": range(1, 3), "4.4": range(1, 5), "5.1": range(1, 2), "5.2": range(1, 4),
    "5.3": range(1, 3), "5.4": range(1, 4), "6.1": range(1, 4), "6.2": range(1, 13), "6.3": range(1, 5),
    "6.4": range(1, 5), "6.5": range(1, 6), "6.6": range(1, 4), "6.8": range(1, 5), "7.1": range(1, 4),
    "7.2": range(1, 5), "7.3": range(1, 3), "7.4": range(1, 6), "7.5": range(1, 3), "7.6": range(1, 3),
    "8.1": range(1, 3), "8.2": range(1, 4), "8.3": range(1, 2), "8.4": range(1, 2), "9.1": range(1, 4),
    "9.2": range(1, 5), "10.1": range(1, 3), "10.2": range(1, 3), "10.3": range(1, 5), "10.4": range(1, 12),
    "10.5": range(1, 6), "10.6": range(1, 3), "10.7": range(1, 4), "11.1": range(1, 3), "11.2": range(1, 4),
    "11.3": range(1, 4), "11.4": range(1, 5), "11.5": range(1, 2), "11.6": range(1, 2), "12.1": range(1, 4),
    "12.2": range(1, 3), "12.3": range(1, 5), "13.1": range(1, 2), "13.2": range(1, 6), "13.3": range(1, 3),
    "13.4": range(1, 6), "14.1": range(1, 3), "14.2": range(1, 5), "14.3": range(1, 4), "15.1": range(1, 4),
    "15.2": range(1, 4), "15.3": range(1, 8), "16.1": range(1, 2), "16.2": range(1, 6), "16.3": range(1, 5),
    "16.4": range(1, 4), "16.5": range(1, 4), "17.1": range(1, 2), "17.2": range(1, 5), "17.3": range(1, 3),
}  # fmt: skip


def everything() -> set[str]:
    return {f"{section}.{item}" for section, items in ITEMS.items() for item in items}


def test_every_item_has_one_row() -> None:
    told = [item for items, _, _ in ROWS for item in items.split(", ")]
    assert sorted(told) == sorted(everything())


def test_every_row_explains_how_the_item_is_met() -> None:
    for items, held, _ in ROWS:
        assert len(held) > 10, items


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE))))
def test_every_named_test_exists(name: str) -> None:
    file, _, function = name.partition("::")
    assert (ROOT / file).is_file(), file
    assert not function or function in functions(file), name


@cache
def functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
