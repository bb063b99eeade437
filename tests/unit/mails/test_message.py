"""Mails as they cross the wire: what mail servers and spam filters look at, for any text of owner and member."""

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluice.adapters.mails.message import mime, sender_of
from sluice.adapters.mails.render import render
from sluice.domain.languages import LANGUAGES
from sluice.domain.mails.mail import Kind, new_mail

NOW_MS = 1_800_000_000_000
SENDER = "Sluice <no-reply@example.org>"
TEXTS = st.text(max_size=1500)


def wire(kind: Kind = Kind.INVITATION, sender: str = SENDER, language: str = "", **about: str) -> bytes:
    mail = new_mail(kind, account_id="usr_a", to="ann@example.com", now_ms=1, mail_id="mail_x", language=language)
    link = {"base_url": "https://api.example.com", "languages": tuple(LANGUAGES)}
    return mime(render(mail, "mail_x." + "a" * 43, sender=sender, **link, **about), NOW_MS).as_bytes(  # type: ignore[arg-type]
        policy=policy.SMTP
    )


def read(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=policy.default)
    assert not message.defects
    return message


@example(site="a\x00b\rc\x0cd", contact="", kind=Kind.VERIFY_EMAIL, language="en")
@example(site="x" * 3000, contact="é" * 3000, kind=Kind.INVITATION, language="ja")
@given(site=TEXTS, contact=TEXTS, kind=st.sampled_from(Kind), language=st.sampled_from(list(LANGUAGES)))
def test_any_text_passes_servers_of_seven_bits_in_lines_that_are_allowed(
    site: str, contact: str, kind: Kind, language: str
) -> None:
    raw = wire(kind, language=language, site=site, contact=contact)
    assert raw.isascii() and b"\0" not in raw
    lines = raw.split(b"\r\n")
    assert max(map(len, lines)) <= 998 and not any(b"\n" in line or b"\r" in line for line in lines)
    message = read(raw)
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    for one in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version"):
        assert len(message.get_all(one, [])) == 1
    assert not message.get_all("Bcc") and not message.get_all("Cc") and not message.get_all("Reply-To")


def test_message_id_and_date_are_ours() -> None:
    message = read(wire())
    assert message["Message-ID"] == "<mail_x@example.org>"
    assert message["Date"].endswith(" +0000") and message["Date"].datetime.timestamp() * 1000 == NOW_MS


def test_no_mail_is_bulk_so_none_offers_to_unsubscribe() -> None:
    """One-click unsubscribe is asked of advertising. Every kind is about its reader's own account."""
    for kind in Kind:
        assert "List-Unsubscribe" not in read(wire(kind)) and read(wire(kind))["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    ("given", "name", "address"),
    [
        ("Sluice <no-reply@example.org>", "Sluice", "no-reply@example.org"),
        ("no-reply@example.org", "", "no-reply@example.org"),
        ("Ann, Bob & Co. <no-reply@example.org>", "Ann, Bob & Co.", "no-reply@example.org"),
        ('"Ann, Bob" <no-reply@example.org>', "Ann, Bob", "no-reply@example.org"),
        ("Ada's <models> <no-reply@example.org>", "Ada's <models>", "no-reply@example.org"),
        ("模型 <no-reply@bücher.example>", "模型", "no-reply@xn--bcher-kva.example"),
        ("Sluice <no-reply@localhost>", "Sluice", "no-reply@localhost"),
    ],
)
def test_a_sender_with_any_name_is_one_address(given: str, name: str, address: str) -> None:
    assert sender_of(given).addr_spec == address
    raw = wire(sender=given)
    (sender,) = read(raw)["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (name, address)
    assert read(raw)["Message-ID"] == f"<mail_x@{address.rpartition('@')[2]}>" and raw.isascii()


@pytest.mark.parametrize(
    "given", ["Sluice\r\nBcc: eve@example.net <no-reply@example.org>", "no-reply@example.org\nX: y"]
)
def test_a_line_break_makes_no_header(given: str) -> None:
    with pytest.raises(ValueError):
        wire(sender=given)
