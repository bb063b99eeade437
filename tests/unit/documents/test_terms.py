"""The terms that are indexed from a text and searched for a question."""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.adapters.documents.search import terms
from sluice.adapters.documents.search.terms import MOST_ASKED, asked, counted, indexed

EXCEPTIONS = ["skis", "skies", "dying", "lying", "tying", "idly", "gently", "ugly", "early", "only", "singly", "yes"]
FILES = (Path(__file__).parents[2] / "data" / "documents" / "files").iterdir()
WORDS = sorted({*EXCEPTIONS, *re.findall(r"[a-z]{2,}", " ".join(one.read_text("utf-8", "replace") for one in FILES))})


def test_english_words_are_stemmed_and_folded() -> None:
    assert indexed("The Employees' vacations") == indexed("the employee vacation")
    assert indexed("café ＣＡＦＥ") == ["cafe", "cafe"]


def test_a_number_with_commas_is_one_term() -> None:
    assert indexed("1,000 calls, 2") == ["1000", "call", "2"]
    assert asked("11,000円").content[0] == "11000"


def test_full_width_and_half_width_forms_are_the_same_term() -> None:
    assert indexed("ﾊﾟｽﾜｰﾄﾞ１２") == indexed("パスワード12")


def test_a_question_asks_for_its_content_words_only() -> None:
    assert asked("How many days of vacation do I get?").content == ("day", "vacat")
    assert asked("有給休暇は何日もらえますか。").content == ("有給", "給休", "休暇")
    assert asked("公司的年假有多少天？").content == ("公司", "年假", "假有", "天")


def test_japanese_question_words_are_dropped_but_not_words_that_contain_their_kanji() -> None:
    assert asked("申請方法を教えてください").content == ("申請",)
    assert "教室" in asked("英会話教室はどこですか").content


def test_hiragana_words_are_content_only_where_there_is_no_other() -> None:
    question = asked("りんごの値段はいくらですか")
    assert question.content == ("値段",) and "りん" in question.beside
    assert "りん" in asked("りんごはありますか").content


def test_a_question_of_stop_words_alone_searches_for_them() -> None:
    assert asked("What is it?").content == ("what", "is", "it")


@pytest.mark.parametrize("nothing", ["", "  ", "?!…", "\x00", "___"])
def test_an_empty_question_has_no_terms(nothing: str) -> None:
    assert asked(nothing) == terms.Asked(())


def test_a_very_long_question_is_cut() -> None:
    assert len(asked(" ".join(f"word{number}" for number in range(1000))).content) == MOST_ASKED


@given(st.text())
def test_every_term_is_letters_and_digits_and_never_empty(text: str) -> None:
    """So no term is an operator of the full-text query, and terms joined by spaces can be split again."""
    for term in [*indexed(text), *asked(text).content, *asked(text).beside]:
        assert term and not set(term) & set(" \t\n\"'*^():+-\x00")
        assert term == term.strip() and not any(character.isspace() for character in term)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_the_fast_path_for_ascii_gives_the_same_terms(text: str) -> None:
    assert indexed(text) == indexed(text + " é")[:-1]


@given(st.text(alphabet="はがー有給パスAb1、。 \n"))
def test_the_terms_of_a_question_are_found_in_the_same_text(text: str) -> None:
    held = set(indexed(text))
    question = asked(text)
    lone = {term for term in question.content if len(term) == 1}
    assert set(question.content) - lone <= held


@given(st.lists(st.sampled_from([*WORDS, *map(str.upper, EXCEPTIONS), "1,000", "café", "図書館", "'s"]), max_size=40))
def test_a_search_counts_the_terms_that_were_indexed(words: list[str]) -> None:
    for text in (" ".join(words), ". ".join(words) + " it's"):
        terms = indexed(text)
        wanted = set(asked(text).content) | {"die", "sky", "1000", "absent"}
        assert counted(text, wanted) == (Counter(term for term in terms if term in wanted), len(terms))


def test_a_stem_begins_as_its_word() -> None:
    assert len(WORDS) > 500
    assert [word for word in WORDS if indexed(word)[0][0] != word[0]] == []
