"""Logged content is cut to 16 KB of UTF-8, never in the middle of a character."""

from hypothesis import given
from hypothesis import strategies as st

from sluice.domain.gateway.contents import CUT_MARK, MAX_TEXT_BYTES, cut, expires_s


@given(st.text(alphabet="aö€😀", max_size=60), st.integers(20, 80))
def test_a_cut_text_is_a_prefix_of_the_whole_text(text: str, max_bytes: int) -> None:
    kept = cut(text, max_bytes)
    assert len(kept.encode()) <= max_bytes
    if len(text.encode()) <= max_bytes:
        assert kept == text
    else:
        beginning = kept.removesuffix(CUT_MARK)
        assert text.startswith(beginning)
        assert len(kept.encode()) > max_bytes - 4, "no more is lost than the character that did not fit"


def test_a_text_of_exactly_the_limit_is_not_cut() -> None:
    assert cut("a" * MAX_TEXT_BYTES) == "a" * MAX_TEXT_BYTES
    assert len(cut("a" * (MAX_TEXT_BYTES + 1)).encode()) == MAX_TEXT_BYTES


def test_a_lone_surrogate_from_json_is_no_error() -> None:
    assert cut("a\ud800b") == "a?b"


def test_retention_is_in_days() -> None:
    assert expires_s(1_000_000, 30) == 1000 + 30 * 86_400
