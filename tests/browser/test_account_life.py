"""An account from sign-up to deletion by clicking, with the links of real mails; every page is checked."""

import json
from pathlib import Path

from tests.browser.conftest import Newcomer, NewTab
from tests.browser.outbox import link
from tests.browser.tab import Tab
from tests.e2e.people import PASSWORD, mails_to, new_address

SECOND_PASSWORD = "a loud orange lighthouse"
THIRD_PASSWORD = "seven patient herons wading"


def log_in(tab: Tab, address: str, password: str = PASSWORD) -> None:
    tab.go("/login")
    tab.fill(email=address, password=password).press("Log in")


def test_a_user_can_sign_up_verify_the_address_and_log_in(tab: Tab) -> None:
    address = new_address()
    tab.go("/")
    tab.press("Sign up").fill(email=address, password=PASSWORD, name="Ada").press("Sign up")
    assert tab.heading == "Check your email" and address in tab.text
    tab.check("mail-sent")
    tab.page.reload()  # asks nothing again
    assert tab.path == "/sign-up?note=sent" and address in tab.text
    assert len(mails_to(tab.base_url, address, "verify_email")) == 1
    verify = link(tab.base_url, address, "verify_email")
    log_in(tab, address)
    assert "verif" in tab.text and tab.path == "/login"  # the right password, but the address is not verified
    assert tab.go(verify) == 200
    assert tab.go(verify) == 200  # a mail scanner opened the link first, which uses nothing
    tab.check("verify")
    tab.press("Verify my address")
    assert "Your address is verified" in tab.text
    tab.check("verified")
    tab.press("Log in").fill(email=address, password=PASSWORD).press("Log in")
    assert tab.path.startswith("/my/chats")
    tab.go("/my/account")
    assert address in tab.text and tab.page.locator("[name=name]").input_value() == "Ada"
    tab.check("account")
    tab.go(verify)
    tab.press("Verify my address")
    assert "Your address is verified" in tab.text  # a mail scanner may have clicked first
    tab.go("/verify-email")
    assert tab.heading == "This link no longer works"
    tab.check("dead-link")


def test_a_form_with_mistakes_lists_them_with_links_to_their_fields(tab: Tab) -> None:
    tab.go("/sign-up")
    tab.fill(email="no address", password="short").press("Sign up")
    assert tab.page.title().startswith("Error: ")
    summary = tab.page.locator(".problems")
    assert summary.evaluate("it => it === document.activeElement")
    assert summary.get_by_role("link").count() == 2
    assert "Please fix 2 fields" in summary.inner_text()
    tab.check("sign-up-mistakes")
    summary.get_by_role("link").first.click()
    assert tab.page.locator("[name=email]").evaluate("it => it === document.activeElement")
    assert tab.page.locator("[name=email]").input_value() == "no address"
    assert tab.page.locator("[name=password]").input_value() == ""


def test_resetting_a_forgotten_password_ends_every_session(newcomer: Newcomer, new_tab: NewTab) -> None:
    ann = newcomer()
    at_home, elsewhere = new_tab(ann), new_tab()
    elsewhere.go("/login")
    elsewhere.press("Forgot your password?").fill(email=ann.email).press("Send link")
    assert elsewhere.heading == "Check your email"
    elsewhere.go(link(ann.base_url, ann.email, "reset_password"))
    elsewhere.check("reset")
    assert not elsewhere.page.locator("[name=keep_tokens]").is_checked()
    elsewhere.fill(password="password1234").press("Set new password")
    assert elsewhere.page.title().startswith("Error: ")
    elsewhere.fill(password=SECOND_PASSWORD).press("Set new password")
    assert "Your password is changed" in elsewhere.text
    assert at_home.go("/my/account") == 200 and at_home.path == "/login?next=account"
    log_in(elsewhere, ann.email)
    assert elsewhere.path == "/login" and elsewhere.page.locator(".problems").count() == 1
    elsewhere.fill(password=SECOND_PASSWORD).press("Log in")
    assert elsewhere.path.startswith("/my/chats")
    assert "password of your account was changed" in mails_to(ann.base_url, ann.email, "password_changed")[0]["text"]


def test_changing_the_password_keeps_this_session_and_ends_the_others(newcomer: Newcomer, new_tab: NewTab) -> None:
    ann = newcomer()
    here, there = new_tab(), new_tab(ann)
    log_in(here, ann.email)
    here.go("/my/account")
    here.fill(current_password="not it at all", new_password=THIRD_PASSWORD).press("Change password")
    assert here.page.title().startswith("Error: ")
    here.fill(current_password=PASSWORD, new_password=THIRD_PASSWORD).press("Change password")
    assert "Your password is changed" in here.text
    there.go("/my/account")
    assert there.path == "/login?next=account"
    there.fill(email=ann.email, password=THIRD_PASSWORD).press("Log in")
    assert there.path == "/my/account"
    mails_to(ann.base_url, ann.email, "password_changed")


def test_a_new_address_counts_after_verification_and_the_old_one_gets_a_mail(newcomer: Newcomer, tab: Tab) -> None:
    ann, new = newcomer(), new_address()
    tab.be(ann).go("/my/account")
    form = tab.page.locator('form[action="/my/account/email"]')
    form.locator("[name=new_email]").fill(new)
    form.locator("[name=password]").fill(PASSWORD)
    tab.press("Send link")
    assert "we sent a link to the new address" in tab.text and ann.email in tab.text
    tab.go(link(ann.base_url, new, "change_email"))
    tab.check("change-email")
    tab.press("Use this address")
    assert "This is your account's address now" in tab.text
    assert new in mails_to(ann.base_url, ann.email, "email_changed")[0]["text"]
    tab.go("/my/account")
    assert new in tab.page.locator("main").inner_text()


def test_another_session_is_listed_and_can_be_ended(newcomer: Newcomer, new_tab: NewTab) -> None:
    ann = newcomer()
    here, there = new_tab(), new_tab()
    log_in(here, ann.email)
    log_in(there, ann.email)
    here.go("/my/account")
    others = here.page.locator(".rows li").filter(has_not_text="this device")
    assert others.filter(has_text="Chrome on Linux").count() == 1
    others.filter(has_text="Chrome on Linux").get_by_role("button", name="Log out").click()
    here.page.wait_for_load_state()
    assert "The device is logged out" in here.text
    there.go("/my/tokens")
    assert there.path.startswith("/login")
    here.page.locator("header").get_by_role("button", name="Log out").click()
    assert "You are logged out" in here.text
    assert here.go("/my/tokens") == 200 and here.path.startswith("/login")


def test_the_profile_content_logging_export_and_deletion_work_by_clicking(
    newcomer: Newcomer, tab: Tab, tmp_path: Path
) -> None:
    ann = newcomer()
    tab.be(ann).go("/my/account")
    tab.fill(name="Ann <b>Other</b>")
    tab.page.locator("[name=store_content]").uncheck()
    tab.press("Save")
    assert "Saved" in tab.text and tab.page.locator("main b").count() == 0
    assert not tab.page.locator("[name=store_content]").is_checked()
    assert ann.call("GET", "/account").json()["name"] == "Ann <b>Other</b>"
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Download your data").click()
    file = tmp_path / "export.json"
    download.value.save_as(file)
    held = json.loads(file.read_text())
    assert ann.email in json.dumps(held) and "password" not in json.dumps(list(held["account"]))
    tab.go("/my/account")
    tab.press("Delete account")
    tab.check("delete-account")
    tab.fill(password="not it at all").press("Delete my account")
    assert tab.page.title().startswith("Error: ")
    tab.fill(password=PASSWORD).press("Delete my account")
    assert "Your account is deleted" in tab.text
    log_in(tab, ann.email)
    assert tab.path == "/login" and tab.page.locator(".problems").count() == 1
    assert ann.v1("GET", "/v1/models").status_code == 401


def test_the_account_pages_work_without_javascript(new_tab: NewTab) -> None:
    tab, address = new_tab(script=False), new_address()
    tab.go("/sign-up")
    tab.fill(email=address, password=PASSWORD).press("Sign up")
    tab.go(link(tab.base_url, address, "verify_email"))
    tab.press("Verify my address").press("Log in").fill(email=address, password=PASSWORD).press("Log in")
    assert tab.path.startswith("/my/chats")
    tab.go("/my/tokens")
    tab.press("Create token").fill(name="laptop").press("Create token")
    assert tab.page.locator("textarea.secret").input_value().count(".") == 2
    tab.go("/my/account")
    tab.fill(name="Nobody").press("Save")
    assert "Saved" in tab.text


def test_the_account_pages_work_with_the_keyboard_alone(newcomer: Newcomer, tab: Tab) -> None:
    ann = newcomer()
    tab.go("/login")
    keys = tab.page.keyboard
    keys.press("Tab")
    assert tab.page.locator(":focus").inner_text() == "Skip to the content"
    keys.press("Enter")
    keys.press("Tab")
    assert tab.page.locator(":focus").get_attribute("name") == "email"
    keys.type(ann.email)
    keys.press("Tab")
    keys.type(PASSWORD)
    with tab.page.expect_navigation():
        keys.press("Enter")
    assert tab.path.startswith("/my/chats")
