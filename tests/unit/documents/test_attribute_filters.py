"""OpenAI's filters on attributes: each comparison, their combinations, and values of another kind."""

from typing import Any

import pytest

from sluice.domain.documents.attribute_filters import matches

FILE: dict[str, str | float | bool] = {"year": 2024, "team": "a", "open": True, "score": 0.5}


def compare(kind: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


@pytest.mark.parametrize(
    ("kind", "key", "value", "wanted"),
    [
        ("eq", "year", 2024, True),
        ("eq", "year", "2024", False),
        ("eq", "open", True, True),
        ("eq", "open", 1, False),
        ("eq", "missing", 1, False),
        ("ne", "team", "b", True),
        ("ne", "team", "a", False),
        ("ne", "missing", 1, True),
        ("gt", "year", 2023, True),
        ("gt", "year", 2024, False),
        ("gt", "team", 1, False),
        ("gt", "open", 0, False),
        ("gte", "score", 0.5, True),
        ("lt", "team", "b", True),
        ("lte", "year", 2023, False),
        ("lt", "missing", 1, False),
        ("in", "team", ["a", "b"], True),
        ("in", "open", [1], False),
        ("in", "team", "a", True),
        ("nin", "team", ["b"], True),
        ("nin", "year", [2024], False),
        ("nin", "missing", [1], True),
    ],
)
def test_a_comparison_matches_values_of_the_same_type_only(kind: str, key: str, value: Any, wanted: bool) -> None:
    assert matches(FILE, compare(kind, key, value)) is wanted


def test_and_or_or_no_filter_at_all() -> None:
    yes, no = compare("eq", "year", 2024), compare("eq", "team", "b")
    assert matches(FILE, None)
    assert matches(FILE, {"type": "and", "filters": [yes, yes]})
    assert not matches(FILE, {"type": "and", "filters": [yes, no]})
    assert matches(FILE, {"type": "or", "filters": [no, {"type": "and", "filters": [yes]}]})
    assert not matches(FILE, {"type": "or", "filters": [no, no]})
