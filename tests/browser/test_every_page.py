"""Every page, for each kind of reader: keyboard, names, motion, weight, and axe with all of its rules."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser

from infra.openapi import public_app
from infra.words import TRANSLATED
from tests.browser.conftest import NewTab
from tests.browser.tab import Tab
from tests.browser.walk import Measure, by_keyboard, named, still
from tests.e2e.people import Person, ask, newcomer
from tests.e2e.place import Place

OF_VISITORS = ("/", "/sign-up", "/login", "/login/factor", "/forgot-password", "/resend-verification", "/docs",
               "/no-such-page", "/verify-email", "/verify-email?token=mail_x.{code}",
               "/change-email?token=mail_x.{code}", "/reset-password?token=mail_x.{code}",
               "/invitation", "/invitation?token=mail_x.{code}")  # fmt: skip
OF_MEMBERS = ("/my/chats", "/my/chats/{chat_id}", "/my/documents", "/my/documents/{file_id}",
              "/my/documents/search?q=harvest", "/my/batches", "/my/tokens", "/my/tokens/new", "/my/tokens/{token_id}",
              "/my/usage", "/my/usage/log", "/my/account", "/my/account/delete",
              "/my/account/factors", "/my/account/factors/app", "/my/account/factors/passkey", "/my/confirm",
              "/my/account/factors/{factor_id}/remove", "/my/account/webhooks",
              "/my/account/webhooks/{webhook_id}", "/my/link-sign-in", "/logout", "/manage")  # fmt: skip
OF_ADMINS = ("/manage", "/manage/users", "/manage/users/{user_id}", "/manage/users/{user_id}/role",
             "/manage/users/{user_id}/factors",
             "/manage/users/{user_id}/usage", "/manage/users/{user_id}/log", "/manage/users/{user_id}/tokens",
             "/manage/usage", "/manage/refusals", "/manage/settings", "/manage/audit",
             "/manage/invitations")  # fmt: skip
PAGES = [(kind, path) for kind, paths in (("visitor", OF_VISITORS), ("member", OF_MEMBERS), ("admin", OF_ADMINS))
         for path in paths]  # fmt: skip
ROW = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
                  "body": {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}})  # fmt: skip
NO_PAGES = {"/my/models", "/embed.js", "/static/{name}", "/my/chats/{chat_id}/export",
            "/my/documents/{file_id}/content", "/my/usage/log.csv", "/manage/usage.csv",
            "/my/plan"}  # fmt: skip  # which is only where something is sold: test_payment.py


@pytest.fixture(scope="module")
def ids(browser: Browser, system: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Of things that a member has: a token, a chat, a document, requests."""
    ann = newcomer(system.base_url)
    assert ask(ann, "What is 2 + 2?").status_code == 200
    file = tmp_path_factory.mktemp("pages") / "harvest.md"
    file.write_text("# Harvest\n\nThe harvest begins in March.\n")
    tab = Tab(browser, system.base_url, ann)
    tab.go("/my/documents")
    tab.page.set_input_files("#field-file", file)
    tab.page.get_by_text("Uploaded.").wait_for()
    document = tab.page.get_by_role("link", name="harvest.md").get_attribute("href") or ""
    tab.close()
    chat = ann.call("POST", "/chats", json={"title": "Harvests"}).json()
    for line in (ROW, "{"):  # a batch that runs or has ended, and one that failed
        sent = ann.v1("POST", "/v1/files", files={"file": ("rows.jsonl", line)}, data={"purpose": "batch"}).json()
        asked = {"input_file_id": sent["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        assert ann.v1("POST", "/v1/batches", json=asked).ok
    user_id = ann.call("GET", "/account").json()["id"]
    secret = ann.call("POST", "/account/factors/totp").json()["secret"]
    assert ann.call("POST", "/account/factors/totp/confirm", json={"code": pyotp.TOTP(secret).now()}).ok
    factor_id = ann.call("GET", "/account/factors").json()["data"][0]["id"]
    ann.call("POST", "/account/factors/totp")  # one more is being set up
    hook = ann.call("POST", "/webhooks", json={"url": "https://hook.invalid/", "events": ["token.expiring"]}).json()
    ann.call("POST", f"/webhooks/{hook['id']}/test")
    yield {"session": ann.session_token, "email": ann.email, "token_id": ann.token_id, "chat_id": chat["id"],
           "file_id": Path(document).name, "code": "a" * 43, "user_id": user_id,
           "factor_id": factor_id, "webhook_id": hook["id"]}  # fmt: skip


@pytest.mark.parametrize(("kind", "path"), PAGES, ids=[f"{kind} {path}" for kind, path in PAGES])
def test_a_page_is_for_everybody(kind: str, path: str, ids: dict[str, str], admin: Person, new_tab: NewTab) -> None:
    ann = Person(admin.base_url, ids["email"], "", ids["session"])
    tab = new_tab({"visitor": None, "member": ann, "admin": admin}[kind])
    tab.page.emulate_media(reduced_motion="reduce")
    with Measure(tab) as measure:
        assert tab.go(path.format(**ids)) < 500
        if tab.page.locator("script").count():
            tab.page.wait_for_load_state("networkidle")
    measure.check(path)
    still(tab, path)
    named(tab, path)
    tab.accessible(path)
    tab.zoomed(path)
    by_keyboard(tab, path)


@pytest.mark.parametrize("language", TRANSLATED)
@pytest.mark.parametrize(("kind", "path"), PAGES, ids=[f"{kind} {path}" for kind, path in PAGES])
def test_no_language_is_cut_off(
    kind: str, path: str, language: str, ids: dict[str, str], admin: Person, new_tab: NewTab
) -> None:
    ann = Person(admin.base_url, ids["email"], "", ids["session"])
    tab = new_tab({"visitor": None, "member": ann, "admin": admin}[kind]).plant("sluice_language", language)
    with Measure(tab) as measure:
        assert tab.go(path.format(**ids)) < 500
        if tab.page.locator("script").count():
            tab.page.wait_for_load_state("networkidle")
    measure.check(path)
    if path != "/docs":  # in English only
        assert tab.page.locator("html").get_attribute("lang") == language
    tab.narrow(f"{path} in {language}")
    tab.shoot(f"{language}{path.partition('?')[0].replace('/', '-')}-{kind}")


@pytest.mark.parametrize("path", ["/my/documents", "/manage"])
def test_the_menu_of_a_phone_opens_and_closes_by_keyboard(path: str, admin: Person, new_tab: NewTab) -> None:
    tab = new_tab(admin)
    tab.resize({"width": 360, "height": 740})
    tab.go(path)
    button, menu = tab.page.locator(".menu-button"), tab.page.locator("#menu")
    button.focus()
    assert not menu.is_visible()
    tab.page.keyboard.press("Enter")
    assert menu.is_visible()
    tab.page.keyboard.press("Tab")
    assert menu.locator("a").first.evaluate("it => it === document.activeElement")
    heights = menu.locator("a, button").evaluate_all("all => all.map((it) => it.offsetHeight)")
    assert min(heights) >= 44, "too small for a thumb"
    assert menu.get_by_role("button", name="Log out").is_visible()
    tab.accessible(f"the menu of {path}")
    tab.page.keyboard.press("Escape")
    assert not menu.is_visible() and button.evaluate("it => it === document.activeElement")


def test_no_page_is_missing_here() -> None:
    app = public_app()
    pages = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and app.view_functions[rule.endpoint].__module__.startswith("sluice.pages.")
    }
    here = {path.partition("?")[0] for _, path in PAGES} - {"/docs", "/no-such-page"}
    assert pages - NO_PAGES == here
