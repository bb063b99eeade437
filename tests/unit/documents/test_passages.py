"""How a document is cut into passages."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sluice.domain.documents.passages import OVERLAP_TOKENS, TARGET_TOKENS, Block, Cut, cut, tokens


def test_each_section_carries_the_headings_above_it() -> None:
    blocks = [
        Block(1, "A"),
        Block(0, "one"),
        Block(2, "B"),
        Block(0, "two"),
        Block(0, "three"),
        Block(1, "C"),
        Block(0, "four"),
    ]
    assert list(cut(blocks)) == [Cut("A", "one"), Cut("A › B", "two\nthree"), Cut("C", "four")]


def test_headings_without_text_become_passages() -> None:
    assert list(cut([Block(1, "Only"), Block(2, "Titles")])) == [Cut("", "Only\nTitles")]
    assert list(cut([])) == []


def test_a_long_section_is_cut_at_sentences_and_the_parts_overlap() -> None:
    sentences = [f"This is sentence number {number} of many." for number in range(200)]
    cuts = [one.text for one in cut([Block(0, " ".join(sentences))])]
    assert len(cuts) > 3
    for one, following in pairwise(cuts):
        assert one.endswith(".") and tokens(one) <= TARGET_TOKENS
        last = one[one.rindex("This is") :]
        assert following.startswith("This is") and last in following
        overlap = following[: following.index(last) + len(last)]
        assert tokens(overlap) <= OVERLAP_TOKENS + 10


def test_japanese_sentences_end_without_a_space() -> None:
    text = "これは長い文章です。" * 200
    cuts = [one.text for one in cut([Block(0, text)])]
    assert all(one.endswith("。") and tokens(one) <= TARGET_TOKENS for one in cuts)


def test_each_wide_character_counts_as_one_token() -> None:
    assert tokens("有給休暇") == 4
    assert tokens("vacation") == 2
    assert tokens("") == 0


blocks = st.lists(st.builds(Block, st.sampled_from([0, 0, 0, 1, 2, 6]), st.text(alphabet="ab。. \n有", max_size=900)))


@given(blocks)
def test_the_passages_hold_every_word_and_none_is_too_long(blocks: list[Block]) -> None:
    cuts = list(cut(blocks))
    held = "".join(one.text for one in cuts)
    for block in blocks:
        if not block.level:
            for word in block.text.split():
                piece = word[:40]
                assert piece in held or len(word) > TARGET_TOKENS // 2
    assert all(tokens(one.text) <= TARGET_TOKENS + OVERLAP_TOKENS and one.text.strip() for one in cuts)
