"""A mailed code is bound to our key, its mail, its account and its purpose; no other code is accepted."""

import pytest

from sluice.domain.errors import MailedCodeInvalid
from sluice.domain.ids import random_id
from sluice.domain.mails import mailed_codes
from sluice.domain.mails.mail import CODE_LIFE_MS, Kind, Mail, new_mail, once_id, retry_after_ms

KEY = b"k" * 32
MAIL_ID, ACCOUNT = "mail_0123456789abcdef", "usr_0123456789abcdef"
CODE = mailed_codes.make(KEY, "verify_email", MAIL_ID, ACCOUNT)


def passes(code: str, *, key: bytes = KEY, purpose: str = "verify_email", account_id: str = ACCOUNT) -> bool:
    try:
        mailed_codes.check(mailed_codes.parse(code), key, purpose, account_id)
    except MailedCodeInvalid:
        return False
    return True


def test_a_code_derived_again_is_the_same_and_is_accepted() -> None:
    assert mailed_codes.make(KEY, Kind.VERIFY_EMAIL, MAIL_ID, ACCOUNT) == CODE
    assert passes(CODE) and mailed_codes.parse(CODE).mail_id == MAIL_ID


@pytest.mark.parametrize("purpose", [kind for kind in Kind if kind != Kind.VERIFY_EMAIL])
def test_a_code_is_refused_for_another_purpose(purpose: str) -> None:
    assert not passes(CODE, purpose=purpose)


def test_a_code_is_refused_for_another_mail_account_or_key() -> None:
    mac = CODE.partition(".")[2]
    assert not passes(CODE, account_id="usr_fedcba9876543210")
    assert not passes(CODE, key=b"K" * 32)
    assert not passes(f"mail_fedcba9876543210.{mac}")


def test_the_parts_of_a_code_cannot_be_shifted() -> None:
    assert not passes(mailed_codes.make(KEY, "verify", "mail_a", "usr_b"), purpose="verif")
    one = mailed_codes.make(KEY, "p", "mail_ab", "c").partition(".")[2]
    other = mailed_codes.make(KEY, "p", "mail_a", "bc").partition(".")[2]
    assert one != other


@pytest.mark.parametrize("place", range(len(CODE)))
def test_a_code_with_one_changed_character_is_refused(place: int) -> None:
    changed = "A" if CODE[place] != "A" else "B"
    assert not passes(CODE[:place] + changed + CODE[place + 1 :])


@pytest.mark.parametrize(
    "text",
    ["", ".", "x", MAIL_ID, MAIL_ID + ".", "." + "A" * 43, CODE + "=", CODE + "\n", " " + CODE, CODE + CODE, CODE[:-1],
     f"{MAIL_ID}.{'A' * 42}é", f"mail_{'a' * 41}.{'A' * 43}", f"mail_é.{'A' * 43}", "x" * 1_000_000, "\ud800", "\x00"],
)  # fmt: skip
def test_a_malformed_code_is_refused_before_the_store_is_read(text: str) -> None:
    with pytest.raises(MailedCodeInvalid):
        mailed_codes.parse(text)


def test_the_ids_of_every_kind_of_mail_fit_into_a_code() -> None:
    for mail_id in (random_id("mail_"), once_id("quota_80", "usr_a", 202611)):
        assert mailed_codes.parse(mailed_codes.make(KEY, "p", mail_id, "usr_a")).mail_id == mail_id


def test_a_code_is_in_no_repr() -> None:
    assert CODE.partition(".")[2] not in repr(mailed_codes.parse(CODE))


# --- the mails they are in


def test_the_links_have_the_promised_lifetimes() -> None:
    hours = {kind: life_ms / 3_600_000 for kind, life_ms in CODE_LIFE_MS.items()}
    assert hours == {"verify_email": 24, "reset_password": 0.5, "change_email": 24, "invitation": 168}


def mail(kind: Kind) -> Mail:
    return new_mail(kind, account_id="usr_a", to="a@example.com", now_ms=1000)


@pytest.mark.parametrize("kind", CODE_LIFE_MS)
def test_a_mail_expires_no_later_than_its_code(kind: str) -> None:
    assert mail(Kind(kind)).expires_ms == 1000 + CODE_LIFE_MS[kind]


def test_every_mail_has_a_unique_id_unless_it_names_its_occasion() -> None:
    assert mail(Kind.QUOTA_80).mail_id != mail(Kind.QUOTA_80).mail_id
    assert once_id("quota_80", "usr_a", 202611) == once_id("quota_80", "usr_a", 202611)
    others = {once_id("quota_80", "usr_a", 202612), once_id("quota_100", "usr_a", 202611), once_id("quota_80", "usr_b")}
    assert len(others | {once_id("quota_80", "usr_a", 202611)}) == 4


def test_the_waits_between_attempts_grow_up_to_a_limit() -> None:
    waits = [retry_after_ms(attempts) for attempts in range(1, 20)]
    assert waits == sorted(waits) and waits[0] == 5_000 and waits[-1] == 600_000
