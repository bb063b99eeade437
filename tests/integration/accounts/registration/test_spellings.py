"""One password or address, written in several ways, is treated alike at every place."""

from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.integration.accounts.registration.world import Desk
from tests.integration.accounts.world import PASSWORD
from tests.integration.pages.browser import Browser

ANN, PLUS = "ann@example.com", "ada+x@example.org"
NEW = "a whole new passphrase"


def logs_in(desk: Desk, email: str, password: str) -> bool:
    return bool(desk.post("/auth/login", email=email, password=password).status_code == 200)


ALIKE = [
    ("gr\u00fcner h\u00e4fen leise", "gru\u0308ner ha\u0308fen leise"),  # composed and decomposed
    ("\uff21\uff22\uff23 quiet harbour", "ABC quiet harbour"),  # a Japanese keyboard types full-width letters
    ("quiet\u00a0green harbour", "quiet green harbour"),  # a no-break space, as copied from a page
]


@pytest.mark.parametrize(("typed", "later"), [*ALIKE, *[(later, typed) for typed, later in ALIKE]])
def test_a_password_is_equal_in_every_unicode_form_at_every_place(desk: Desk, typed: str, later: str) -> None:
    desk.register(ANN, typed)
    assert desk.verify(desk.code(ANN)).status_code == 200
    assert logs_in(desk, ANN, later) and logs_in(desk, ANN, typed)
    session = desk.login(desk.known(ANN), later)
    body = {"current_password": later, "new_password": NEW}
    assert desk.client.post("/auth/change-password", json=body, headers=session).status_code == 200
    desk.post("/auth/forgot-password", email=ANN)
    assert desk.post("/auth/reset-password", token=desk.code(ANN), password=later).status_code == 200
    assert logs_in(desk, ANN, typed)


def test_the_length_of_a_password_does_not_depend_on_its_unicode_form(desk: Desk) -> None:
    six, decomposed = "\u00e4" * 6, "a\u0308" * 6  # the same six letters
    assert {desk.register(ANN, password).status_code for password in (six, decomposed)} == {422}
    assert desk.register(ANN, "\ufdfa" * 100).status_code == 422  # one character that is eighteen


SPACED = "quiet green harbour "


def test_a_space_at_the_end_of_a_password_counts_in_the_api_and_on_every_page(desk: Desk) -> None:
    """Pasted with a space, typed without: refused everywhere, accepted nowhere. Nothing trims."""
    browser = Browser(desk.app.test_client())
    browser.submit(browser.get("/sign-up"), "/sign-up", email=ANN, password=SPACED, name="")
    assert desk.verify(desk.code(ANN)).status_code == 200
    assert logs_in(desk, ANN, SPACED) and not logs_in(desk, ANN, SPACED.strip())
    assert browser.log_in(ANN, SPACED.strip()).status == 401
    desk.post("/auth/forgot-password", email=ANN)
    page = browser.get(f"/reset-password?token={desk.code(ANN)}")
    assert browser.submit(page, "/reset-password", password=" " + SPACED).status == 200
    assert not logs_in(desk, ANN, SPACED) and logs_in(desk, ANN, " " + SPACED)


@pytest.mark.parametrize("path", ["/auth/register", "/auth/login"])
def test_a_lone_surrogate_in_a_password_is_refused_without_a_crash(desk: Desk, path: str) -> None:
    body = b'{"email": "ann@example.com", "password": "a whole new \\ud800 passphrase"}'
    answer: Any = desk.client.post(path, data=body, content_type="application/json")
    assert answer.status_code in (400, 401, 422)


def test_a_plus_address_works_from_registration_to_reset(desk: Desk) -> None:
    assert desk.register(PLUS).status_code == 202
    desk.deliver()
    found = desk.client.get(f"/_local/outbox?to={quote(PLUS)}").json
    assert [mail["to"] for mail in found["data"]] == [PLUS]  # type: ignore[index]
    assert desk.verify(desk.code(PLUS)).status_code == 200
    assert logs_in(desk, PLUS, PASSWORD) and not logs_in(desk, "ada@example.org", PASSWORD)
    desk.post("/auth/forgot-password", email=PLUS)
    assert desk.post("/auth/reset-password", token=desk.code(PLUS), password=NEW).status_code == 200
    assert logs_in(desk, PLUS, NEW) and desk.known(PLUS).email == PLUS
    assert desk.outbox("ada@example.org") == []


def test_pages_show_a_plus_address_as_typed_and_put_no_address_into_a_query(desk: Desk) -> None:
    browser = Browser(desk.app.test_client())
    for path in ("/sign-up", "/resend-verification", "/forgot-password"):
        fields = {"password": PASSWORD, "name": ""} if path == "/sign-up" else {}
        sent = browser.submit(browser.get(path), path, email=PLUS, **fields)
        assert sent.status == 200 and PLUS in sent.text
        assert [link for link in sent.links if "ada" in urlsplit(link).query and "ada%2Bx" not in link] == []
    page = browser.get(f"/verify-email?token={desk.codes(PLUS)[0]}")
    assert browser.submit(page, "/verify-email").status == 200
    refused = browser.submit(browser.get("/login"), "/login", email=PLUS, password="wrong wrong wrong")
    assert f'value="{PLUS}"' in refused.html
