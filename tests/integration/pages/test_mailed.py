"""The links in mails: opening one changes nothing, its button redeems the code once, a dead link explains itself."""

import time
from collections.abc import Callable

import pytest

from sluice.domain.accounts.account import Account
from tests.integration.accounts.world import PASSWORD
from tests.integration.pages.browser import Browser
from tests.integration.usage.world import UsageWorld

NEW = "a whole new passphrase"


def mailed_code(account: Account, purpose: str) -> str:
    """The code in the link of the account's newest mail of that purpose."""
    from sluice.adapters.tokens.keys import mailed_code_key
    from sluice.domain.mails import mailed_codes
    from sluice.wiring import stores

    now = stores.account_store().get(account.account_id)
    assert now is not None
    mail_id = next(iter(now.registrations)) if purpose == "verify_email" else now.codes[purpose].mail_id
    return mailed_codes.make(mailed_code_key(), purpose, mail_id, account.account_id)


def account_now(account: Account) -> Account:
    from sluice.wiring import stores

    found = stores.account_store().get(account.account_id)
    assert found is not None
    return found


@pytest.fixture
def pending(world: UsageWorld, browser: Browser) -> Account:
    """An account that signed up by the form and is not verified."""
    from sluice.wiring import stores

    browser.submit(browser.get("/sign-up"), "/sign-up", email="new@example.com", password=PASSWORD, name="New")
    found = stores.account_store().by_email("new@example.com", time.time_ns() // 1_000_000)
    assert found is not None and found.status == "pending"
    return found


def test_opening_a_verification_link_does_not_use_the_code(browser: Browser, pending: Account) -> None:
    link = f"/verify-email?token={mailed_code(pending, 'verify_email')}"
    for _ in range(3):
        assert browser.get(link).status == 200
    assert account_now(pending) == pending


def test_the_button_verifies_and_leads_to_the_login(browser: Browser, pending: Account) -> None:
    page = browser.get(f"/verify-email?token={mailed_code(pending, 'verify_email')}")
    done = browser.submit(page, "/verify-email")
    assert done.status == 200 and "Your address is verified" in done.text and "/login" in done.links
    assert account_now(pending).status == "active"
    assert "API tokens" in browser.log_in("new@example.com", PASSWORD).text


def test_the_owners_click_works_after_a_mail_scanner_that_opens_and_clicks(
    browser: Browser, pending: Account, world: UsageWorld
) -> None:
    link = f"/verify-email?token={mailed_code(pending, 'verify_email')}"
    world.client.head(link)
    scanner = Browser(world.app.test_client())
    opened = scanner.get(link)
    assert "script" not in [tag for tag, _ in opened.tags] and "http-equiv" not in opened.html  # nothing submits itself
    assert account_now(pending).status == "pending"
    assert scanner.submit(opened, "/verify-email").status == 200
    for _ in range(2):
        done = browser.submit(browser.get(link), "/verify-email")
        assert done.status == 200 and "Your address is verified" in done.text and "/login" in done.links
    assert browser.log_in("new@example.com", PASSWORD).status == 200


def test_the_link_of_another_registration_explains_itself(browser: Browser, pending: Account) -> None:
    from sluice.wiring import stores

    first = mailed_code(pending, "verify_email")
    beside = {"mail_0": next(iter(pending.registrations.values()))} | dict(pending.registrations)
    stores.account_store().put_registrations(pending, beside, [])
    browser.submit(browser.get(f"/verify-email?token={first}"), "/verify-email")
    other = first.replace(first.partition(".")[0], "mail_0")
    refused = browser.submit(browser.get(f"/verify-email?token={other}"), "/verify-email")
    assert refused.status == 400 and "Only one of the links can be used" in refused.text
    assert {"/login", "/resend-verification"} <= set(refused.links)


def test_a_reset_link_replaced_by_a_newer_one_explains_that(browser: Browser, ann: Account) -> None:
    browser.submit(browser.get("/forgot-password"), "/forgot-password", email=ann.email)
    old = mailed_code(ann, "reset_password")
    browser.submit(browser.get("/forgot-password"), "/forgot-password", email=ann.email)
    refused = browser.submit(browser.get(f"/reset-password?token={old}"), "/reset-password", password=NEW)
    assert refused.status == 400 and "Only the newest mail's link works" in refused.text


@pytest.mark.parametrize("path", ["/verify-email", "/reset-password", "/change-email"])
def test_an_address_without_a_code_is_a_dead_link(browser: Browser, path: str) -> None:
    for address in (path, path + "?token="):
        dead = browser.get(address)
        assert (
            dead.status == 400
            and "no longer works" in dead.text
            and {one.action for one in dead.forms} == {"/language"}
        )


@pytest.mark.parametrize("path", ["/verify-email", "/reset-password", "/change-email"])
def test_an_unknown_code_is_a_dead_link_when_it_is_used(browser: Browser, path: str) -> None:
    for code in ("x", "mail_0.A", "é" * 60, "mail_" + "0" * 16 + "." + "A" * 43, '"><script>'):
        page = browser.get(f"{path}?token={code}")
        assert page.status == 200 and "script" not in [tag for tag, _ in page.tags]
        dead = browser.submit(page, path, **({"password": NEW} if path == "/reset-password" else {}))
        assert dead.status == 400 and "no longer works" in dead.text, code


@pytest.mark.parametrize("path", ["/verify-email", "/reset-password", "/change-email"])
def test_pages_whose_address_carries_a_code_send_no_referrer(browser: Browser, path: str) -> None:
    page = browser.get(f"{path}?token=x")
    assert page.answer.headers["Referrer-Policy"] == "no-referrer"
    assert page.answer.headers["Cache-Control"] == "private, no-store"
    assert "?token=" not in page.html


@pytest.fixture
def reset_code(browser: Browser, ann: Account) -> Callable[[], str]:
    browser.submit(browser.get("/forgot-password"), "/forgot-password", email=ann.email)
    return lambda: mailed_code(ann, "reset_password")


def test_a_reset_link_sets_the_password_once_and_ends_every_session(
    browser: Browser, member: Browser, ann: Account, reset_code: Callable[[], str]
) -> None:
    page = browser.get(f"/reset-password?token={reset_code()}")
    assert "Keep my API tokens" in page.text
    done = browser.submit(page, "/reset-password", password=NEW)
    assert done.status == 200 and "every API token was revoked" in done.text
    assert member.get("/my/tokens").status == 303
    assert browser.log_in(ann.email, PASSWORD).status == 401
    assert browser.log_in(ann.email, NEW).status == 200
    assert browser.submit(page, "/reset-password", password=NEW + "2").status == 400


@pytest.mark.parametrize("keep", [True, False])
def test_the_box_on_the_reset_page_decides_about_api_tokens(
    browser: Browser, world: UsageWorld, ann: Account, reset_code: Callable[[], str], keep: bool
) -> None:
    from sluice.wiring import stores

    issued = world.issue(world.login(ann))
    ticked = {"keep_tokens": "on"} if keep else {}
    refused = browser.submit(
        browser.get(f"/reset-password?token={reset_code()}"), "/reset-password", password="x", **ticked
    )
    assert (" checked" in refused.html) is keep
    done = browser.submit(refused, "/reset-password", password=NEW, **ticked)
    assert done.status == 200 and ("still work" in done.text) is keep
    assert (issued["id"] in stores.grant_store().live(ann.account_id)) is keep


def test_a_refused_new_password_does_not_use_the_code(
    browser: Browser, ann: Account, reset_code: Callable[[], str]
) -> None:
    page = browser.get(f"/reset-password?token={reset_code()}")
    refused = browser.submit(page, "/reset-password", password="short")
    assert refused.status == 422 and "#field-password" in refused.links and "short" not in refused.html
    assert browser.submit(refused, "/reset-password", password=NEW).status == 200


def test_a_new_address_is_confirmed_by_its_mail(member: Browser, browser: Browser, ann: Account) -> None:
    asked = member.submit(
        member.get("/my/account"), "/my/account/email", new_email="ann2@example.com", password=PASSWORD
    )
    assert "The old one stays until you follow it" in asked.text and account_now(ann).email == ann.email
    page = browser.get(f"/change-email?token={mailed_code(ann, 'change_email')}")
    assert account_now(ann).email == ann.email
    done = browser.submit(page, "/change-email")
    assert done.status == 200 and account_now(ann).email == "ann2@example.com"
    assert browser.log_in("ann2@example.com", PASSWORD).status == 200
    assert browser.submit(page, "/change-email").status == 200  # a scanner or a second click: it is confirmed


def test_a_code_of_one_purpose_is_refused_on_other_pages(
    browser: Browser, ann: Account, reset_code: Callable[[], str]
) -> None:
    for path in ("/verify-email", "/change-email"):
        assert browser.submit(browser.get(f"{path}?token={reset_code()}"), path).status == 400
    assert (
        browser.submit(browser.get(f"/reset-password?token={reset_code()}"), "/reset-password", password=NEW).status
        == 200
    )
