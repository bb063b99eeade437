"""Rendered mails: subject, text and HTML for every kind, and links to the base URL only."""

from html.parser import HTMLParser
from typing import Any

import pytest

from sluice.adapters.mails.render import render
from sluice.adapters.mails.wording import WORDING
from sluice.domain.mails.mail import CODE_LIFE_MS, Kind, Mail, Message, new_mail

BASE = "https://api.example.com/prod"
PATHS = {
    Kind.VERIFY_EMAIL: "/verify-email",
    Kind.RESET_PASSWORD: "/reset-password",
    Kind.CHANGE_EMAIL: "/change-email",
    Kind.INVITATION: "/invitation",
}
DATA: dict[Kind, dict[str, str | int]] = {
    Kind.EMAIL_CHANGED: {"new_email": "new@example.com"},
    Kind.QUOTA_80: {"period": "2026-11", "monthly_tokens": 1_000_000},
    Kind.QUOTA_100: {"period": "2026-11", "monthly_tokens": 1_000_000},
    Kind.NEW_SIGN_IN: {"when": "2026-11-21T05:00:00Z", "client": "192.0.2.1", "agent": "curl/8"},
    Kind.PASSWORD_CHANGED: {"when": "2026-11-21T05:00:00Z"},
}
CODE = "mail_x." + "aB-_" * 10 + "abc"


def mail(kind: Kind, **data: str | int) -> Mail:
    shown = {**DATA.get(kind, {}), **data}
    return new_mail(kind, account_id="usr_a", to="ann@example.com", now_ms=1, data=shown, mail_id="mail_x")


def rendered(kind: Kind, base_url: str = BASE, sender: str = "Sluice <no-reply@example.org>", **data: Any) -> Message:
    return render(mail(kind, **data), CODE if kind in CODE_LIFE_MS else "", base_url=base_url, sender=sender)


class Page(HTMLParser):
    """Tags, links and text of an HTML part."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.links, self.text = list[str](), list[str](), ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_owners_name_and_contact_are_in_both_parts_and_stay_text() -> None:
    named = {"site": "Ann & Co <b>", "contact": "help@example.org"}
    message = render(mail(Kind.VERIFY_EMAIL), CODE, base_url=BASE, sender="x@example.org", **named)
    page = Page(message.html)
    for text in (message.text, page.text):
        assert "Welcome to Ann & Co <b>." in text and "Questions? help@example.org" in text and "Sluice" not in text
    assert "b" not in page.tags and "Questions?" not in rendered(Kind.VERIFY_EMAIL).text


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_subject_a_text_and_an_html_part(kind: Kind) -> None:
    message = rendered(kind)
    assert message.subject == WORDING[kind].subject and "\n" not in message.subject
    assert len(message.text) > 60 and "<" not in message.text and "{{" not in message.text + message.html
    page = Page(message.html)
    assert message.subject in page.text and "script" not in page.tags and "img" not in page.tags
    for value in DATA.get(kind, {}).values():
        assert str(value) in message.text and str(value) in page.text
    assert (message.to, message.kind, message.sender) == ("ann@example.com", kind, "Sluice <no-reply@example.org>")


@pytest.mark.parametrize("kind", Kind)
def test_mails_with_a_code_link_to_the_base_url_with_it(kind: Kind) -> None:
    message = rendered(kind)
    links = Page(message.html).links
    if kind in PATHS:
        link = f"{BASE}{PATHS[kind]}?token={CODE}"
        assert links == [link] and link in message.text.splitlines()
    else:
        assert links == [] and "token=" not in message.text + message.html
    assert kind not in PATHS or CODE in message.text


def test_kinds_with_a_link_are_the_kinds_with_a_code() -> None:
    assert set(PATHS) == set(CODE_LIFE_MS) == {kind for kind, wording in WORDING.items() if wording.path}
    assert set(WORDING) == set(Kind)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8080", "http://127.0.0.1:8080/", "https://x.example/stage/"])
def test_a_slash_at_the_end_of_the_base_url_is_ignored(base_url: str) -> None:
    (link,) = Page(rendered(Kind.VERIFY_EMAIL, base_url).html).links
    assert link == base_url.rstrip("/") + "/verify-email?token=" + CODE


@pytest.mark.parametrize("kind", DATA)
def test_every_value_in_a_mail_is_escaped_in_its_html(kind: Kind) -> None:
    evil = '<b>bold</b> & "quoted" {{ 7 * 7 }} <a href="https://evil.example">'
    data = {name: evil for name in DATA[kind]}
    message = rendered(kind, **data)
    plain = Page(rendered(kind).html)
    page = Page(message.html)
    assert (page.tags, page.links) == (plain.tags, plain.links)
    assert evil in page.text and evil in message.text and "49" not in message.text


def test_a_sign_in_notice_without_details_is_rendered() -> None:
    bare = new_mail(Kind.NEW_SIGN_IN, account_id="usr_a", to="ann@example.com", now_ms=1)
    text = render(bare, "", base_url=BASE, sender="x@example.org").text
    assert "Someone logged in to your account." in text


@pytest.mark.parametrize("kind", Kind)
def test_the_message_id_is_stable_for_a_mail_and_differs_between_mails(kind: Kind) -> None:
    assert rendered(kind).message_id == rendered(kind, "http://elsewhere.example").message_id == "<mail_x@example.org>"
    other = render(new_mail(kind, account_id="a", to="b@c.de", now_ms=1), "", base_url=BASE, sender="x@example.org")
    assert other.message_id != rendered(kind).message_id


@pytest.mark.parametrize("sender", ["", "no-reply@localhost"])
def test_a_sender_without_a_domain_still_gives_a_message_id(sender: str) -> None:
    assert rendered(Kind.VERIFY_EMAIL, sender=sender).message_id == "<mail_x@localhost>"


def test_the_repr_of_a_message_shows_no_code() -> None:
    assert CODE not in repr(rendered(Kind.VERIFY_EMAIL))
