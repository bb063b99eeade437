"""Cursors keep their position, and anything else is refused."""

import pytest

from sluice.domain.errors import ValidationFailed
from sluice.services.cursors import cursor, position


@pytest.mark.parametrize("parts", [("usr_1",), ("2026-11-20", ""), ("2026-11-20", "evt_1"), ("é#\n", "ü")])
def test_a_cursor_gives_back_its_position(parts: tuple[str, ...]) -> None:
    text = cursor("users", *parts)
    assert position("users", text, len(parts)) == parts
    assert text.replace("-", "").replace("_", "").isalnum()  # safe in a query string


def test_an_invalid_cursor_or_one_of_another_list_is_refused() -> None:
    good = cursor("users", "usr_1")
    for text in ("", "x", "zzzz", "é", good[:-1], good[1:], good + "A", good.lower(), cursor("audit", "usr_1")):
        with pytest.raises(ValidationFailed) as refused:
            position("users", text, 1)
        assert refused.value.problems[0].field == "cursor"
    with pytest.raises(ValidationFailed):
        position("users", good, 2)
