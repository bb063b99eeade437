"""Cursors: what goes in comes out, and nothing else is taken for one."""

import pytest

from sluice.domain.errors import ValidationFailed
from sluice.services.cursors import cursor, position


@pytest.mark.parametrize("parts", [("usr_1",), ("2026-11-20", ""), ("2026-11-20", "evt_1"), ("é#\n", "ü")])
def test_a_position_comes_back_as_it_went(parts: tuple[str, ...]) -> None:
    text = cursor("users", *parts)
    assert position("users", text, len(parts)) == parts
    assert text.replace("-", "").replace("_", "").isalnum()  # as it stands in a query string


def test_what_is_no_cursor_of_this_list_is_refused() -> None:
    good = cursor("users", "usr_1")
    for text in ("", "x", "zzzz", "é", good[:-1], good[1:], good + "A", good.lower(), cursor("audit", "usr_1")):
        with pytest.raises(ValidationFailed) as refused:
            position("users", text, 1)
        assert refused.value.problems[0].field == "cursor"
    with pytest.raises(ValidationFailed):
        position("users", good, 2)
