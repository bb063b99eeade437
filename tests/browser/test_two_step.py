"""Two-step login by clicking: an app's codes without a script, recovery codes, and passkeys of Chromium's own virtual
authenticator (https://www.w3.org/TR/webauthn-3/#sctn-automation)."""

import re
import time
from typing import Any

import pyotp

from tests.browser.conftest import NewTab
from tests.browser.stage import Stage
from tests.browser.tab import Tab
from tests.e2e.people import Person
from tests.integration.accounts.world import PASSWORD


def log_in(tab: Tab, email: str) -> None:
    tab.go("/login?next=account")
    tab.fill(email=email, password=PASSWORD).press("Log in")


def code_after(secret: str, used: str) -> str:
    """A code that is not used yet: the next one is accepted, too."""
    app, now = pyotp.TOTP(secret), time.time()
    return next(code for code in (app.at(now), app.at(now + 30)) if code != used)


def at_localhost(stage: Stage) -> str:
    """Browsers make passkeys for names, not for numbers."""
    return stage.url.replace("127.0.0.1", "localhost")


def authenticator(tab: Tab) -> tuple[Any, str]:
    """A virtual authenticator in this tab, and its protocol session."""
    protocol = tab.page.context.new_cdp_session(tab.page)
    protocol.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = protocol.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return protocol, str(made["authenticatorId"])


def newcomer(stage: Stage, place: str) -> Person:
    person, _ = stage.person()
    return Person(place, person.email, "", person.session_token)


def test_an_app_is_set_up_used_and_removed(stage: Stage, new_tab: NewTab) -> None:
    ann = newcomer(stage, stage.url)
    tab = new_tab(ann, at=stage.url)
    tab.go("/my/account")
    tab.press("Set up two-step login")
    tab.check("two-step-none")
    tab.press("Set up an app")
    secret = tab.page.locator("code.key").inner_text().replace(" ", "")
    assert tab.page.locator(".qr svg").bounding_box()["width"] > 150  # type: ignore[index]
    tab.check("two-step-app")
    tab.fill(code="000000").press("Switch it on")
    assert tab.page.title().startswith("Error: ")
    assert secret == tab.page.locator("code.key").inner_text().replace(" ", "")
    used = pyotp.TOTP(secret).now()
    tab.fill(code=used, name="My phone").press("Switch it on")
    codes = tab.page.locator("#codes").input_value().split()
    assert len(codes) == 10
    tab.check("two-step-codes")
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Download as a file").click()
    assert download.value.path().read_text().split() == codes
    tab.press("I have kept them")
    assert "My phone" in tab.text and "10 of 10" in tab.text
    tab.check("two-step")
    tab.go("/my/account")
    tab.check("account-two-step")

    elsewhere = new_tab(at=stage.url)
    log_in(elsewhere, ann.email)
    assert elsewhere.heading == "One more step" and elsewhere.path == "/login/factor?next=account"
    elsewhere.check("second-step")
    assert "sluice_session" not in elsewhere.cookies()
    elsewhere.fill(code=used).press("Log in")
    assert elsewhere.page.title().startswith("Error: ")
    elsewhere.check("second-step-wrong")
    elsewhere.fill(code=code_after(secret, used)).press("Log in")
    assert elsewhere.path == "/my/account" and "sluice_factor" not in elsewhere.cookies()
    tab.go("/my/account")
    tab.press("Log out everywhere else")
    assert elsewhere.go("/my/account") == 200 and elsewhere.path == "/login?next=account"
    plain = new_tab(script=False, at=stage.url)
    log_in(plain, ann.email)
    plain.fill(code=codes[1]).press("Log in")
    assert plain.path == "/my/account"
    log_in(elsewhere, ann.email)
    elsewhere.fill(code=codes[0]).press("Log in")
    assert elsewhere.path == "/my/account" and "8 recovery codes left" in elsewhere.text
    elsewhere.go("/my/account/factors")
    elsewhere.press("Remove My phone")
    elsewhere.check("two-step-remove")
    elsewhere.fill(password=PASSWORD).press("Remove it")
    assert "Removed." in elsewhere.text
    log_in(elsewhere, ann.email)
    assert elsewhere.path == "/my/account"


def test_a_passkey_is_added_used_and_removed(stage: Stage, new_tab: NewTab) -> None:
    place = at_localhost(stage)
    ann = newcomer(stage, place)
    tab = new_tab(ann, at=place)
    authenticator(tab)
    tab.go("/my/account/factors")
    tab.press("Add a passkey")
    tab.check("two-step-passkey")
    tab.fill(name="Laptop").press("Add a passkey")
    assert len(tab.page.locator("#codes").input_value().split()) == 10
    tab.press("I have kept them")
    assert "Laptop" in tab.text
    log_in(tab, ann.email)
    assert tab.heading == "One more step"
    tab.check("second-step-passkey")
    tab.press("Use a passkey")
    assert tab.path == "/my/account"
    tab.go("/my/confirm?next=factors")
    tab.check("confirm-passkey")
    tab.press("Use a passkey")
    assert tab.path == "/my/account/factors"
    tab.press("Add a passkey")
    tab.page.get_by_role("main").get_by_role("button", name="Add a passkey").click()
    tab.page.get_by_text("This device has a passkey for this account already.").wait_for()
    tab.go("/my/account/factors")
    tab.press("Remove Laptop")
    tab.fill(password=PASSWORD).press("Remove it")
    log_in(tab, ann.email)
    assert tab.path == "/my/account"


def test_a_passkey_whose_counter_went_back_is_refused_and_told(stage: Stage, new_tab: NewTab) -> None:
    place = at_localhost(stage)
    ann = newcomer(stage, place)
    tab = new_tab(ann, at=place)
    protocol, name = authenticator(tab)
    tab.go("/my/account/factors/passkey")
    tab.press("Add a passkey")
    (copy,) = protocol.send("WebAuthn.getCredentials", {"authenticatorId": name})["credentials"]
    log_in(tab, ann.email)
    tab.press("Use a passkey")
    assert tab.path == "/my/account"
    protocol.send("WebAuthn.removeCredential", {"authenticatorId": name, "credentialId": copy["credentialId"]})
    protocol.send("WebAuthn.addCredential", {"authenticatorId": name, "credential": {**copy, "signCount": 0}})
    log_in(tab, ann.email)
    tab.press("Use a passkey")
    assert "counter went back" in tab.text and tab.path.startswith("/login/factor")
    assert "sluice_factor" in tab.cookies()


def test_at_another_address_of_the_site_a_page_says_where_passkeys_work(stage: Stage, new_tab: NewTab) -> None:
    ann = newcomer(stage, stage.url)
    tab = new_tab(ann, at=stage.url)
    tab.go("/my/account/factors/passkey")
    assert at_localhost(stage) in tab.text and not tab.page.locator("form[data-passkey]").count()


def test_an_admin_with_a_factor_shows_it_before_changing_others(stage: Stage, new_tab: NewTab) -> None:
    boss, _ = stage.person(role="admin")
    _, other_id = stage.person()
    tab = new_tab(boss, at=stage.url)
    tab.go(f"/manage/users/{other_id}")
    tab.press("Suspend this account")
    tab.press("Restore this account")  # without a factor as ever
    phone = boss.call("POST", "/account/factors/totp").json()
    used = pyotp.TOTP(phone["secret"]).now()
    session = Person(stage.url, boss.email, "", boss.session_token)
    from tests.e2e.people import log_in as another_session

    elsewhere = another_session(stage.url, boss.email, PASSWORD)  # before there is a factor
    assert session.call("POST", "/account/factors/totp/confirm", json={"code": used}).status_code == 200
    assert elsewhere.call("POST", f"/admin/users/{other_id}/suspend").json()["code"] == "confirmation_required"
    assert elsewhere.call("GET", f"/admin/users/{other_id}").status_code == 200
    late = new_tab(elsewhere, at=stage.url)
    late.go(f"/manage/users/{other_id}")
    late.press("Suspend this account")
    assert late.heading == "Confirm that it is you"
    late.check("confirm")
    late.fill(code=code_after(phone["secret"], used)).press("Confirm")
    assert late.path == f"/manage/users/{other_id}"
    late.press("Suspend this account")
    assert re.search("suspended", late.text)


def test_an_admin_switches_off_the_two_step_login_of_someone_who_lost_everything(stage: Stage, new_tab: NewTab) -> None:
    boss, _ = stage.person(role="admin")
    ann, ann_id = stage.person()
    secret = ann.call("POST", "/account/factors/totp").json()["secret"]
    ann.call("POST", "/account/factors/totp/confirm", json={"code": pyotp.TOTP(secret).now()})
    tab = new_tab(boss, at=stage.url)
    tab.go(f"/manage/users/{ann_id}")
    tab.press("Switch it off")
    tab.check("manage-factors")
    tab.fill(password="wrong wrong wrong").press("Switch it off")
    assert tab.page.title().startswith("Error: ")
    tab.fill(password=PASSWORD).press("Switch it off")
    assert "Two-step login is off" in tab.text
    anew = new_tab(at=stage.url)
    log_in(anew, ann.email)
    assert anew.path == "/my/account"
    tab.go("/manage/audit")
    assert "Two-step login switched off" in tab.text
