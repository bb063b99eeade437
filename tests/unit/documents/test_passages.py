"""How a document is cut into passages."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sluice.domain.documents.passages import OVERLAP_TOKENS, TARGET_TOKENS, Block, Chunk, chunks_of, tokens


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
    assert list(chunks_of(blocks)) == [Chunk("A", "one"), Chunk("A › B", "two\nthree"), Chunk("C", "four")]


def test_headings_without_text_are_found_by_themselves() -> None:
    assert list(chunks_of([Block(1, "Only"), Block(2, "Titles")])) == [Chunk("", "Only\nTitles")]
    assert list(chunks_of([])) == []


def test_a_long_section_is_cut_at_sentences_and_the_parts_overlap() -> None:
    sentences = [f"This is sentence number {number} of many." for number in range(200)]
    chunks = [one.text for one in chunks_of([Block(0, " ".join(sentences))])]
    assert len(chunks) > 3
    for one, following in pairwise(chunks):
        assert one.endswith(".") and tokens(one) <= TARGET_TOKENS
        last = one[one.rindex("This is") :]
        assert following.startswith("This is") and last in following
        overlap = following[: following.index(last) + len(last)]
        assert tokens(overlap) <= OVERLAP_TOKENS + 10


def test_japanese_sentences_end_without_a_space() -> None:
    text = "これは長い文章です。" * 200
    chunks = [one.text for one in chunks_of([Block(0, text)])]
    assert all(one.endswith("。") and tokens(one) <= TARGET_TOKENS for one in chunks)


def test_each_wide_character_counts_as_one_token() -> None:
    assert tokens("有給休暇") == 4
    assert tokens("vacation") == 2
    assert tokens("") == 0


blocks = st.lists(st.builds(Block, st.sampled_from([0, 0, 0, 1, 2, 6]), st.text(alphabet="ab。. \n有", max_size=900)))


@given(blocks)
def test_no_word_is_lost_and_no_passage_is_too_long(blocks: list[Block]) -> None:
    chunks = list(chunks_of(blocks))
    held = "".join(one.text for one in chunks)
    for block in blocks:
        if not block.level:
            for word in block.text.split():
                piece = word[:40]
                assert piece in held or len(word) > TARGET_TOKENS // 2
    assert all(tokens(one.text) <= TARGET_TOKENS + OVERLAP_TOKENS and one.text.strip() for one in chunks)
