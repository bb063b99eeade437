"""Pages in the language of their reader: which one, the switch, and no text that a catalogue does not know."""

import re
from collections.abc import Iterator
from gettext import NullTranslations
from html.parser import HTMLParser

import pytest

from sluice.catalogues import catalogue
from sluice.domain.accounts.account import Account
from sluice.http import language
from sluice.pages import render, words
from sluice.wiring.settings import Site
from tests.integration.accounts.world import PASSWORD
from tests.integration.pages.browser import Browser
from tests.integration.pages.test_security import every_page
from tests.integration.usage.world import UsageWorld

SHOWN_ATTRIBUTES = ("aria-label", "title", "placeholder", "alt", "data-label", "data-too-large")
# Text that is the same in every language: names, addresses, numbers, what people typed, code.
SAME = re.compile(
    r"Sluice|demo|tok_a|stop|\(…[\w-]+\)|English|繁體中文|日本語|curl|Python|JavaScript|openapi\.json|UTC|http://[\w.:/]+|[\w.]+@example\.com|Ann"
    r"|Europe/Berlin|\b(?:KiB|MiB|p50|p95|v1)\b|\W|\d|_"
)


class Marked(NullTranslations):
    """A language in which each text of a catalogue is in brackets."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"


class Shown(HTMLParser):
    """What people read of a page, without code and values of theirs."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._inside: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = dict(attrs)
        self.texts += [has[name] or "" for name in SHOWN_ATTRIBUTES if name in has]
        if tag in ("code", "pre", "textarea", "bdi", "script") or (tag != "html" and has.get("lang") == "en"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append("" if self._inside else data)


def unmarked(html: str) -> list[str]:
    """Texts outside brackets. A sentence may hold markup, so brackets may open in one text and close in another."""
    whole = "\n".join(Shown(html).texts)
    while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", "", whole)) != whole:
        whole = shorter
    return [text for line in whole.split("\n") if (text := SAME.sub("", line).strip())]


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(words, "catalogue", lambda language: Marked())
    yield


def test_no_page_has_a_text_that_no_catalogue_knows(world: UsageWorld, member: Browser, marked: None) -> None:
    found = {path: texts for path in every_page(world) if (texts := unmarked(member.get(path).html))}
    assert found == {}


def test_pages_with_something_on_them_have_no_other_text_either(
    world: UsageWorld, member: Browser, ann: Account, marked: None
) -> None:
    headers = world.login(ann)
    token_id = world.issue(headers, name="Ann")["id"]
    world.deliver([world.record(ann.account_id), world.record(ann.account_id, status=503)])
    member.submit(member.get("/my/chats"), "/my/chats")
    owner = Browser(world.app.test_client())
    owner.log_in(world.account("owner@example.com", role="admin").email, PASSWORD)
    one = f"/manage/users/{ann.account_id}"
    seen = [(member, f"/my/tokens/{token_id}"), *((member, path) for path in ("/my/tokens", "/my/usage", "/my/chats"))]
    seen += [(member, "/my/usage?split=model"), (member, "/my/usage/log"), (member, "/my/usage/log?status=failed")]
    seen += [(owner, f"{one}{view}") for view in ("", "/usage", "/log", "/tokens", "/role")]
    seen += [(owner, f"/manage{view}") for view in ("", "/users", "/usage", "/refusals", "/settings", "/audit")]
    found = {path: texts for reader, path in seen if (texts := unmarked(reader.get(path).html))}
    assert found == {}


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ja", "ja"),
        ("ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        ("zh-TW", "zh-Hant"),
        ("zh-HK,zh;q=0.9", "zh-Hant"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hant"),
        ("fr, de;q=0.9, ja;q=0.1", "ja"),
        ("en;q=0.5, JA-jp;q=0.7", "ja"),
        ("ja;q=0, en", "en"),
        ("fr", "en"),
        ("*", "en"),
        (";;q=,,=" * 500, "en"),
    ],
)
def test_a_page_has_the_language_that_the_browser_prefers(browser: Browser, header: str, language: str) -> None:
    page = browser.client.get("/login", headers={"Accept-Language": header})
    assert f'<html lang="{language}">' in page.text and page.headers["Content-Language"] == language
    assert {"Accept-Language", "Cookie"} <= set(page.headers["Vary"].split(", "))


def test_the_switch_is_kept_by_the_browser_and_leads_back(browser: Browser) -> None:
    switched = browser.submit(browser.get("/login?next=usage"), "/language", language="ja")
    assert '<html lang="ja">' in switched.html and switched.form("/login").fields["next"] == "usage"
    assert '<html lang="ja">' in browser.get("/").html


def test_the_switch_of_a_page_that_a_mail_opened_keeps_its_code(browser: Browser) -> None:
    switched = browser.submit(browser.get("/verify-email?token=mail_x.abc"), "/language", language="ja")
    assert switched.form("/verify-email").fields["token"] == "mail_x.abc"


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/\\evil.example", "/a//b", "javascript:x", ""]
)
def test_the_switch_leads_to_no_other_site(browser: Browser, back: str) -> None:
    answer = browser.post("/language", {"language": "ja", "back": back}).answer
    assert answer.headers["Location"] == "/"


def test_an_unknown_language_is_not_kept(browser: Browser) -> None:
    assert browser.post("/language", {"language": "xx", "back": "/"}).status == 404
    browser.client.set_cookie("sluice_language", "../../etc")
    assert '<html lang="en">' in browser.get("/login").html


def test_the_language_of_the_account_comes_before_that_of_the_browser(
    world: UsageWorld, member: Browser, ann: Account
) -> None:
    headers = world.login(ann)
    assert world.client.get("/account", headers=headers).json["language"] is None
    answer = world.client.patch("/account", json={"language": "ja"}, headers=headers)
    assert answer.status_code == 200 and answer.json["language"] == "ja"
    assert '<html lang="ja">' in member.client.get("/my/account", headers={"Accept-Language": "zh-TW"}).text
    assert '<html lang="zh-Hant">' in member.client.get("/login", headers={"Accept-Language": "zh-TW"}).text
    member.submit(member.get("/my/account"), "/my/account/profile", language="")
    assert world.client.get("/account", headers=headers).json["language"] is None
    refused = world.client.patch("/account", json={"language": "tlh"}, headers=headers)
    assert refused.status_code == 422 and refused.json["errors"][0]["field"] == "language"


def test_the_switch_of_a_member_is_the_accounts(world: UsageWorld, member: Browser, ann: Account) -> None:
    member.submit(member.get("/my/account"), "/language", language="zh-Hant")
    assert world.client.get("/account", headers=world.login(ann)).json["language"] == "zh-Hant"


def test_a_site_has_the_languages_that_its_owner_offers(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = Site(languages=("ja", "en"))
    monkeypatch.setattr(language, "site", lambda: offered)
    monkeypatch.setattr(render, "site", lambda: offered)
    page = browser.client.get("/login", headers={"Accept-Language": "zh-TW"})
    assert '<html lang="ja">' in page.text and "繁體中文" not in page.text


@pytest.mark.parametrize(("header", "language"), [("ja", "ja"), ("zh-TW", "zh-Hant"), ("fr", "en")])
def test_the_title_of_a_problem_is_in_the_callers_language(world: UsageWorld, header: str, language: str) -> None:
    answer = world.client.get("/account", headers={"Accept-Language": header})
    assert answer.status_code == 401 and answer.headers["Content-Language"] == language
    assert "Accept-Language" in answer.headers["Vary"]
    assert answer.json["title"] == catalogue(language).gettext("Not authenticated")
    assert answer.json["code"] == "not_authenticated"


def test_on_v1_an_error_is_openais_in_every_language(world: UsageWorld) -> None:
    answer = world.client.get("/v1/models", headers={"Accept-Language": "ja"})
    assert answer.status_code == 401 and "Content-Language" not in answer.headers
