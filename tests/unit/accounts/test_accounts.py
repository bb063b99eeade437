"""Which mail addresses are equal or invalid, and which names are valid."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.migrations import addresses
from sluice.domain.accounts.account import NAME_CHARACTERS, lower, parse_address, parse_name
from sluice.domain.errors import ValidationFailed
from tests.rounds import rounds

SAME = [
    ("ann@example.com", "ANN@Example.COM"),
    ("ann@bücher.example", "ann@xn--bcher-kva.example"),
    ("ann@BÜCHER.example", "ann@bu\u0308cher.example"),
    ("jos\u00e9@example.com", "jose\u0301@example.com"),  # composed and decomposed: NFC
    ("JOS\u00c9@example.com", "jose\u0301@example.com"),
    ("ann@\uff45xample.com", "ann@example.com"),  # IDNA maps full-width letters of a domain
    ("ΣΊΣΥΦΟΣ@example.com", "σίσυφος@example.com"),  # lower case of a last sigma is its final form
]
DIFFERENT = [
    ("ann@example.com", "anne@example.com"),
    ("ann@example.com", "ann@example.org"),
    ("ann+x@example.com", "ann@example.com"),  # only the mail server knows what tags and dots mean
    ("a.nn@example.com", "ann@example.com"),
    ("ann@faß.example", "ann@fass.example"),  # two names since IDNA 2008
    ("аnn@example.com", "ann@example.com"),
    ("σίσυφοσ@example.com", "σίσυφος@example.com"),  # lower case keeps the two sigmas apart
]


@pytest.mark.parametrize("one, other", SAME)
def test_different_spellings_of_one_address_have_the_same_key(one: str, other: str) -> None:
    assert parse_address(one).key == parse_address(other).key


@pytest.mark.parametrize("one, other", DIFFERENT)
def test_different_addresses_have_different_keys(one: str, other: str) -> None:
    assert parse_address(one).key != parse_address(other).key


@pytest.mark.parametrize("text", [text for pair in SAME + DIFFERENT for text in pair])
def test_the_key_of_a_key_is_the_same_key(text: str) -> None:
    key = parse_address(text).key
    assert parse_address(key).key == key == unicodedata.normalize("NFC", key)
    assert key.rpartition("@")[2].isascii()


def test_mail_is_sent_to_the_address_as_it_was_typed() -> None:
    address = parse_address("Ann.Lee@Bücher.example")
    assert (address.given, address.local_part) == ("Ann.Lee@bücher.example", "Ann.Lee")


@pytest.mark.parametrize(
    "local_part", ["a", "a" * 64, "ann+tag", "o'hara", "a.b.c", "!#$%&'*+-/=?^_`{|}~", "jürgen", "安"]
)
def test_a_valid_local_part_is_accepted(local_part: str) -> None:
    assert parse_address(local_part + "@example.com").local_part == local_part


@pytest.mark.parametrize(
    "local_part",
    ["", "a" * 65, ".a", "a.", "a..b", "a b", '"a b"', "a@b", "(a)", "a\tb", "a\x7f", "a\u200bb", "\ud800"],
)
def test_an_invalid_local_part_is_refused(local_part: str) -> None:
    with pytest.raises(ValidationFailed):
        parse_address(local_part + "@example.com")


@pytest.mark.parametrize(
    "domain",
    ["", "example", "localhost", "-a.com", "a-.com", "a..com", ".com", "1.2.3.4", "[1.2.3.4]", "a.com.", "a_b.com",
     "xn--a.com", "a.com\r\nX: y", "a" * 64 + ".com", ".".join(["a" * 60] * 5) + ".com"],
)  # fmt: skip
def test_an_invalid_domain_is_refused_and_the_field_is_named(domain: str) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        parse_address("ann@" + domain, "new_email")
    assert [problem.field for problem in refusal.value.problems] == ["new_email"]


def test_reserved_test_domains_are_accepted() -> None:
    assert parse_address("ann@mail.test").key == "ann@mail.test"


@pytest.mark.parametrize(
    "text, name", [(None, ""), ("", ""), ("  Ann  ", "Ann"), ("e\u0301", "é"), ("🐎" * 100, "🐎" * 100)]
)
def test_a_name_is_trimmed_and_composed(text: str | None, name: str) -> None:
    assert parse_name(text) == name


@pytest.mark.parametrize(
    "text", ["x" * (NAME_CHARACTERS + 1), "a\nb", "a\x00b", "a\x1b[31m", "\ud800", "a\u202eb", "a\u2066b"]
)
def test_a_name_that_is_too_long_or_has_control_characters_is_refused(text: str) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        parse_name(text)
    assert [problem.field for problem in refusal.value.problems] == ["name"]


@settings(max_examples=rounds(2_000, 300), deadline=None)
@given(st.text())
def test_a_lowered_text_stays_as_it_is_and_has_one_unicode_form(text: str) -> None:
    once = lower(text)
    assert lower(once) == once == lower(unicodedata.normalize("NFD", text))
    assert addresses._lower(text + "@b", "a@b") == once + "@b"  # the migration's own copy


@settings(max_examples=rounds(1_000, 150), deadline=None)
@given(st.text(min_size=1, max_size=12))
def test_a_parsed_address_is_parsed_to_itself(local_part: str) -> None:
    try:
        address = parse_address(local_part + "@example.org")
    except ValidationFailed:
        return
    assert parse_address(address.given) == address
    assert parse_address(address.key).key == address.key
