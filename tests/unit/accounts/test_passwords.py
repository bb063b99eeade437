"""Which passwords are accepted."""

import pytest

from sluice.adapters.accounts.passwords import common_passwords
from sluice.domain.accounts.passwords import check_password, normalised, password_problem
from sluice.domain.errors import ValidationFailed

COMMON = common_passwords()


def test_the_bundled_list_has_thousands_of_common_passwords() -> None:
    assert len(COMMON) > 3_000
    assert {"123456", "password", "qwerty", "iloveyou", "123456789qwe"} <= set(COMMON)
    assert all(password == password.casefold() for password in COMMON)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "x" * 12,
        "y" * 256,
        "ünïcödé ïs fïne",
        "密码密码密码密码密码密码",
        "🙂" * 12,
        "supersecret123",
        " leading and trailing ",
        "jo knows this phrase",
    ],
)
def test_an_uncommon_password_only_needs_the_right_length(password: str) -> None:
    assert password_problem(password, "jo", COMMON) is None


@pytest.mark.parametrize("password", ["", "x" * 11, "x" * 257, "🙂" * 11])
def test_a_password_that_is_too_short_or_too_long_is_refused(password: str) -> None:
    assert password_problem(password, "ann", COMMON) == "A password has 12 to 256 characters."


@pytest.mark.parametrize(
    "password",
    [
        "123456789qwe",
        "1q2w3e4r5t6y",
        "QAZwsxedc123",
        "password1234",
        "Password123!",
        "passwordpassword",
        "qwerty12345678",
        "letmein2026!!",
        "123456789012",
        "dragondragon",
        "abc123abc123",
        "ｐａｓｓｗｏｒｄ1234",
    ],
)
def test_common_passwords_and_their_usual_variants_are_refused(password: str) -> None:
    problem = password_problem(password, "ann", COMMON)
    assert problem is not None and "common" in problem


@pytest.mark.parametrize(
    "password",
    ["sluicesluice", "Sluice-Gateway", "sluice202620", "MyAPItoken2026!", "my token my token", "adminadmin123"],
)
def test_passwords_made_of_this_products_words_are_refused(password: str) -> None:
    problem = password_problem(password, "ann", COMMON)
    assert problem is not None and "common" in problem


@pytest.mark.parametrize("password", ["sluice of green water", "a chat with herons", "model trains at dawn"])
def test_a_products_word_among_other_words_is_accepted(password: str) -> None:
    assert password_problem(password, "ann", COMMON) is None


@pytest.mark.parametrize(
    ("local_part", "password"),
    [("ann.lee", "hello ann.lee hello"), ("Ann.Lee", "xxANN.LEExxxxxxx"), ("bob", "bobsleigh in winter")],
)
def test_a_password_that_contains_the_local_part_is_refused(local_part: str, password: str) -> None:
    problem = password_problem(password, local_part, COMMON)
    assert problem is not None and "before the @" in problem


def test_the_refusal_names_the_field() -> None:
    with pytest.raises(ValidationFailed) as refused:
        check_password("short", local_part="ann", common=COMMON, field_name="new_password")
    assert [problem.field for problem in refused.value.problems] == ["new_password"]


def test_the_same_password_typed_on_another_keyboard_is_the_same() -> None:
    assert normalised("cafe\u0301 au lait") == normalised("caf\u00e9 au lait")
