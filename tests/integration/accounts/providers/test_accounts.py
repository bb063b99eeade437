"""What a provider's word does: an account, a session, a link, and never more than the account itself allows."""

import re
import time
from dataclasses import replace

import pyotp
import pytest

from sluice.adapters.tokens.keys import mailed_code_key
from sluice.domain.accounts.account import Account, Invitation
from sluice.domain.mails import mailed_codes
from sluice.domain.periods import period_of
from sluice.wiring import peers, stores
from sluice.wiring.accounts import erasure
from tests.integration.accounts.providers.house import PASSWORD, House, Surfer, at_once
from tests.integration.accounts.world import switch_on_throttles


def test_a_stranger_has_an_account_at_once_and_comes_back_to_it(house: House) -> None:
    first = house.browser()
    page = first.sign_in(name="acme")
    assert page.status == 303 and page.answer.headers["Location"] == "/my/chats" and first.is_logged_in
    account = house.of("ann@example.com")
    assert account is not None and account.status == "active" and account.name == "Ann"
    assert account.verified_ms and account.ttl_s is None and account.password_hash == ""
    assert [one.subject for one in account.identities.values()] == ["ann"]
    again = house.browser()
    again.sign_in(email="other@example.com")  # the address at the provider may change, the person stays
    assert again.get("/account").answer.json["id"] == account.account_id  # type: ignore[index]
    assert house.of("other@example.com") is None


def test_the_address_of_the_userinfo_endpoint_counts_if_it_is_the_same_person(house: House) -> None:
    about = {"sub": "bo", "email": "bo@example.com", "email_verified": True, "name": "Bo"}
    house.provider.in_user_info = about
    house.provider.sign = lambda claims: house.provider.signed(
        {name: value for name, value in claims.items() if not name.startswith("email")}
    )
    assert house.browser().sign_in(sub="bo").status == 303
    assert house.of("bo@example.com") is not None
    house.provider.in_user_info = {**about, "sub": "eve", "email": "eve@example.com"}
    assert house.browser().sign_in(sub="cy").status == 401
    assert house.of("eve@example.com") is None


def test_an_account_with_this_address_is_never_entered_nor_linked_without_its_password(house: House) -> None:
    account, browser = house.account(), house.browser()
    page = browser.sign_in()
    assert page.answer.headers["Location"] == "/login?note=link&next=link" and not browser.is_logged_in
    now = house.of(account.email)
    assert now is not None and not now.identities
    login = browser.follow(page)
    assert "exists already" in login.text
    asked = browser.submit(login, "/login", email=account.email, password=PASSWORD)
    assert "ann@example.com" in asked.text and "Acme" in asked.text
    now = house.of(account.email)
    assert now is not None and not now.identities  # the password alone links nothing: the person says so
    done = browser.submit(asked, "/my/link-sign-in")
    assert "Linked." in done.text
    now = house.of(account.email)
    assert now is not None and len(now.identities) == 1 and now.password_hash
    assert house.mails(account).count("identity_linked") == 1 and "identity_linked" in house.events(account)
    other = house.browser()
    assert other.sign_in().answer.headers["Location"] == "/my/chats" and other.is_logged_in


def test_what_waits_to_be_linked_is_of_no_use_to_another_account_or_browser(house: House) -> None:
    house.account()
    bo = house.account("bo@example.com")
    browser = house.browser()
    browser.sign_in()
    browser.log_in(bo.email, PASSWORD)
    assert browser.get("/my/link-sign-in").status == 401
    page = browser.get("/my/account")
    token = page.form("/my/account/profile").fields["form_token"]
    assert browser.post("/my/link-sign-in", {"form_token": token}).status == 401
    now = house.of(bo.email)
    assert now is not None and not now.identities


def test_what_waits_to_be_linked_ends_with_a_new_password(house: House) -> None:
    account, browser = house.account(), house.browser()
    browser.sign_in()
    change = {"current_password": PASSWORD, "new_password": "a whole new passphrase"}
    headers = house.world.login(account)
    assert house.world.client.post("/auth/change-password", json=change, headers=headers).status_code == 200
    browser.log_in(account.email, change["new_password"])
    assert browser.is_logged_in
    assert browser.get("/my/link-sign-in").status == 401


def test_a_stranger_who_registered_the_address_before_its_owner_is_out(house: House) -> None:
    """Pre-hijacking (Sudhodanan and Paverd, 2022): neither the stranger's password nor the mailed link lives on."""
    pending = house.account(status="pending", password="the stranger's own words")
    owner = house.browser()
    assert owner.sign_in().status == 303 and owner.is_logged_in
    account = house.of(pending.email)
    assert account is not None and account.account_id == pending.account_id and account.status == "active"
    assert account.password_hash == "" and not account.registrations and account.name == "Ann"
    answer = house.world.client.post(
        "/auth/login", json={"email": pending.email, "password": "the stranger's own words"}
    )
    assert answer.status_code == 401
    assert house.world.client.post("/auth/login", json={"email": pending.email, "password": ""}).status_code == 401


@pytest.mark.parametrize(
    ("site", "email", "why"),
    [
        ({"sign_up": "closed"}, "ann@example.com", "Sign-up is closed."),
        ({"sign_up": "invited"}, "ann@example.com", "Sign-up is by invitation."),
        ({"sign_up": "domains", "sign_up_domains": ["example.org"]}, "ann@example.com", "Only addresses of these"),
        ({"sign_up": "domains", "sign_up_domains": ["example.org"]}, "ann@example.org", ""),
    ],
)
def test_sign_up_modes_hold(house: House, site: dict[str, object], email: str, why: str) -> None:
    house.configure(**site)
    page = house.browser().sign_in(email=email)
    assert page.status == (403 if why else 303) and why in page.text
    assert (house.of(email) is None) is bool(why)


def test_where_sign_up_is_closed_members_still_log_in(house: House) -> None:
    house.browser().sign_in()
    house.configure(sign_up="closed")
    again = house.browser()
    again.sign_in()
    assert again.is_logged_in


def test_an_invitation_is_accepted_by_a_provider_that_verified_its_address(house: House) -> None:
    now_ms = peers.now_ms()
    invitation = Invitation("mail_x", "ann@example.com", "", "operator", now_ms, now_ms + 3_600_000)
    house.account(status="pending", invitation=invitation)
    house.configure(sign_up="invited")
    assert house.browser().sign_in().status == 303
    account = house.of("ann@example.com")
    assert account is not None and account.status == "active" and account.invitation is None
    assert "invitation_accepted" in house.events(account)
    assert stores.account_store().get(account.account_id) is not None


def test_a_quota_used_before_the_account_was_deleted_stays_used(house: House) -> None:
    stores.used_quotas().put("ann@example.com", period_of(peers.now_ms()), 777)
    browser = house.browser()
    browser.sign_in()
    account = house.of("ann@example.com")
    assert account is not None
    assert stores.grant_store().used(account.account_id)[1] == 777


def test_the_second_factor_is_asked_after_the_provider(house: House) -> None:
    browser = house.browser()
    browser.sign_in()
    secret = _set_up_an_app(browser)
    other = house.browser()
    page = other.sign_in()
    assert page.answer.headers["Location"].startswith("/login/factor") and not other.is_logged_in
    other.submit(other.follow(page), "/login/factor", code=pyotp.TOTP(secret).at(time.time() + 30))
    assert other.is_logged_in


def test_a_password_that_is_set_by_mail_bypasses_no_factor(house: House) -> None:
    browser = house.browser()
    browser.sign_in()
    _set_up_an_app(browser)
    account = house.of("ann@example.com")
    assert account is not None
    client = house.world.client
    assert client.post("/auth/forgot-password", json={"email": account.email}).status_code == 202
    code = _mailed_code(house.of(account.email), "reset_password")
    assert client.post("/auth/reset-password", json={"token": code, "password": PASSWORD}).status_code == 200
    answer = client.post("/auth/login", json={"email": account.email, "password": PASSWORD})
    assert answer.json["status"] == "factor_required"  # type: ignore[index]
    assert house.browser().sign_in().answer.headers["Location"].startswith("/login/factor")


def test_a_password_that_is_set_by_mail_ends_the_identities_of_other_addresses(house: House) -> None:
    """Whoever had an account, and let its address become another person's, keeps no way in."""
    before = house.browser()
    before.sign_in()
    fields = {**before.get("/my/account").form("/my/account/email").fields, "new_email": "bo@example.com"}
    before.post("/my/account/email", fields)
    client, account = house.world.client, house.of("ann@example.com")
    token = _mailed_code(account, "change_email")
    assert client.post("/auth/verify-email", json={"token": token}).status_code == 200
    before.link(sub="bo", email="bo@example.com")
    client.post("/auth/forgot-password", json={"email": "bo@example.com"})
    account = house.of("bo@example.com")
    assert account is not None and len(account.identities) == 2
    token = _mailed_code(account, "reset_password")
    assert client.post("/auth/reset-password", json={"token": token, "password": PASSWORD}).status_code == 200
    after = house.of("bo@example.com")
    assert after is not None and [one.subject for one in after.identities.values()] == ["bo"]
    before.sign_in()  # as a stranger
    assert house.of("ann@example.com") is not None


def _mailed_code(account: Account | None, purpose: str) -> str:
    assert account is not None
    return mailed_codes.make(mailed_code_key(), purpose, account.codes[purpose].mail_id, account.account_id)


def _set_up_an_app(browser: Surfer) -> str:
    """→ its secret. The code of now is used up by it."""
    page = browser.submit(browser.get("/my/account/factors"), "/my/account/factors/app")
    found = re.search(r'<code class="key[^>]*>([^<]+)</code>', page.html)
    assert found
    secret = found[1].replace(" ", "")
    assert browser.submit(page, "/my/account/factors/app/confirm", code=pyotp.TOTP(secret).now()).status == 200
    return secret


@pytest.mark.parametrize(("status", "code"), [("suspended", 403), ("deleting", 401)])
def test_a_suspended_or_leaving_account_is_not_entered(house: House, status: str, code: int) -> None:
    house.browser().sign_in()
    account = house.of("ann@example.com")
    assert account is not None
    stores.account_store().set_status(account, status)  # type: ignore[arg-type]
    browser = house.browser()
    assert browser.sign_in().status == code and not browser.is_logged_in


def test_an_unknown_network_is_told_to_the_owner(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    switch_on_throttles(monkeypatch)
    house.browser().sign_in()
    account = house.of("ann@example.com")
    assert account is not None and house.mails(account) == []
    house.browser().sign_in()
    assert house.mails(account) == []
    far = house.browser()
    far.client.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    far.sign_in()
    assert house.mails(account) == ["new_sign_in"]


def test_two_callbacks_at_once_make_one_account(house: House) -> None:
    browsers = [house.browser() for _ in range(4)]
    answers = [house.provider.approve(browser.start()) for browser in browsers]
    pages = at_once(*(lambda b=browser, a=answer: b.back(a) for browser, answer in zip(browsers, answers, strict=True)))
    assert [page.status for page in pages] == [303] * 4, [getattr(page, "text", page) for page in pages]
    owners = {browser.get("/account").answer.json["id"] for browser in browsers}  # type: ignore[index]
    assert len(owners) == 1


def test_the_same_callback_twice_at_once_counts_once(house: House) -> None:
    house.provider.checks_codes = False  # a careless provider takes a code twice
    browser = house.browser()
    answer = house.provider.approve(browser.start())
    cookie = browser.client.get_cookie("sluice_provider")
    assert cookie is not None
    twins = [house.browser() for _ in range(4)]
    for twin in twins:
        twin.client.set_cookie("sluice_provider", cookie.value)
    pages = at_once(*(lambda twin=twin: twin.back(answer) for twin in twins))
    assert sorted(page.status for page in pages) == [303, 401, 401, 401]


def test_an_identity_is_linked_to_one_account_only(house: House) -> None:
    ann = house.account()
    tabs = [house.browser(), house.browser()]
    asked = []
    for tab in tabs:
        tab.log_in(ann.email, PASSWORD)
        asked.append(tab.follow(tab.sign_in(query={"aim": "link"})))
    done = at_once(*(lambda t=t, a=a: t.submit(a, "/my/link-sign-in") for t, a in zip(tabs, asked, strict=True)))
    assert sorted(page.status for page in done) == [200, 409]
    now = house.of(ann.email)
    assert now is not None and len(now.identities) == 1
    page = tabs[0].sign_in(query={"aim": "link"})
    assert page.status == 409 and "linked to an account already" in page.text
    assert house.mails(ann).count("identity_linked") == 1


def test_only_the_accounts_own_address_can_be_linked(house: House) -> None:
    bo = house.account("bo@example.com")
    browser = house.browser()
    browser.log_in(bo.email, PASSWORD)
    page = browser.sign_in(query={"aim": "link"})
    assert page.status == 403 and "is not that of your account" in page.text


def test_a_link_needs_a_fresh_session(house: House) -> None:
    ann = house.account()
    browser = house.browser()
    browser.log_in(ann.email, PASSWORD)
    asked = browser.follow(browser.sign_in(query={"aim": "link"}))
    _make_stale(browser)
    page = browser.post("/my/link-sign-in", asked.form("/my/link-sign-in").fields)
    assert page.answer.headers["Location"] == "/my/confirm?next=link"
    confirm = browser.follow(page)
    again = browser.submit(confirm, "/my/confirm", password=PASSWORD)
    assert "Linked." in browser.submit(again, "/my/link-sign-in").text
    assert stores.account_store().get(ann.account_id).identities  # type: ignore[union-attr]


def _make_stale(browser: Surfer) -> None:
    session = stores.session_store().get(browser.session_cookie().partition(".")[0])
    assert session is not None
    stores.session_store().put(replace(session, created_ms=session.created_ms - 3_600_000, proven_ms=None))


def test_the_last_way_in_stays(house: House) -> None:
    browser = house.browser()
    browser.sign_in()
    account = house.of("ann@example.com")
    assert account is not None
    (identity_id,) = account.identities
    assert "Your only way in" in browser.get("/my/account").text
    headers = {"Authorization": "Bearer " + browser.session_cookie()}
    answer = house.world.client.delete(f"/account/identities/{identity_id}", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")  # type: ignore[index]
    house.provider.emails = [{"email": "ann@example.com", "primary": True, "verified": True}]
    browser.submit(browser.follow(browser.sign_in("github", {"aim": "link"}, sub="7")), "/my/link-sign-in")
    two = list(house.of("ann@example.com").identities)  # type: ignore[union-attr]
    gone = at_once(
        *(lambda one=one: house.world.client.delete(f"/account/identities/{one}", headers=headers) for one in two)
    )
    assert 204 in [answer.status_code for answer in gone]
    left = house.of("ann@example.com")
    assert left is not None and len(left.identities) == 1


def test_an_unlinked_identity_is_a_strangers(house: House) -> None:
    ann = house.account()
    browser = house.browser()
    browser.log_in(ann.email, PASSWORD)
    browser.link()
    (identity_id,) = house.of(ann.email).identities  # type: ignore[union-attr]
    done = browser.submit(browser.get("/my/account"), f"/my/account/identities/{identity_id}/unlink")
    assert "Unlinked." in done.text
    assert "identity_removed" in house.mails(ann) and "identity_removed" in house.events(ann)
    other = house.browser()
    assert other.sign_in().answer.headers["Location"].startswith("/login")
    browser.link()  # and may be linked again
    assert house.browser().sign_in().answer.headers["Location"] == "/my/chats"


def test_nobody_unlinks_anothers(house: House) -> None:
    house.browser().sign_in()
    (identity_id,) = house.of("ann@example.com").identities  # type: ignore[union-attr]
    bo = house.world.login(house.account("bo@example.com"))
    answer = house.world.client.delete(f"/account/identities/{identity_id}", headers=bo)
    assert answer.status_code == 404


def test_the_account_and_its_export_name_what_is_linked(house: House) -> None:
    browser = house.browser()
    browser.sign_in()
    headers = {"Authorization": "Bearer " + browser.session_cookie()}
    told = house.world.client.get("/account", headers=headers).json
    assert told is not None
    (one,) = told["identities"]
    assert one["provider"] == "acme" and one["issuer"] == house.provider.issuer and one["linked_at"].endswith("Z")
    exported = house.world.client.get("/account/export", headers=headers).json
    assert exported is not None and exported["identities"][0]["subject"] == "ann"


def test_who_does_not_accept_the_terms_of_use_confirms_by_the_provider_and_goes(house: House) -> None:
    browser = house.browser()
    browser.sign_in()
    _make_stale(browser)
    house.configure(terms_url="https://ada.example/terms", terms_version="1")
    assert browser.get("/my/account").status == 403
    refused = browser.post("/my/account/delete", browser.get("/my/account/delete").form("/my/account/delete").fields)
    (link,) = [one for one in browser.follow(refused).links if "aim=confirm" in one]
    assert browser.back(house.provider.approve(browser.get(link).answer.headers["Location"])).status == 303
    assert "deleted" in browser.submit(browser.get("/my/account/delete"), "/my/account/delete").text


def test_who_has_not_accepted_the_terms_of_use_logs_in_again(house: House) -> None:
    browser = house.browser()
    browser.sign_in()
    house.configure(terms_url="https://ada.example/terms", terms_version="1")
    assert browser.sign_in().status == 303


def test_an_account_without_a_password_confirms_by_its_provider(house: House) -> None:
    browser = house.browser()
    browser.sign_in()
    _make_stale(browser)
    page = browser.get("/my/account/delete")
    refused = browser.post("/my/account/delete", page.form("/my/account/delete").fields)
    assert refused.answer.headers["Location"] == "/my/confirm?next=account"
    confirm = browser.follow(refused)
    (link,) = [one for one in confirm.links if "aim=confirm" in one]
    assert not [form for form in confirm.forms if form.action == "/my/confirm"]  # there is no password to be asked
    address = browser.get(link).answer.headers["Location"]
    assert "prompt=login" in address
    assert browser.back(house.provider.approve(address, sub="eve")).status == 401  # somebody else there
    address = browser.get(link).answer.headers["Location"]
    assert browser.back(house.provider.approve(address)).answer.headers["Location"] == "/my/account"
    gone = browser.submit(browser.get("/my/account/delete"), "/my/account/delete")
    assert "deleted" in gone.text and house.of("ann@example.com") is None
    again = house.browser()  # the identity is free
    again.sign_in()
    assert again.is_logged_in


def test_an_account_without_a_password_changes_its_address_in_a_fresh_session_only(house: House) -> None:
    browser = house.browser()
    browser.sign_in()
    page = browser.get("/my/account")
    assert "Set a password by mail" in page.text
    fields = {**page.form("/my/account/email").fields, "new_email": "new@example.com"}
    assert browser.post("/my/account/email", fields).answer.headers["Location"].endswith("note=email")
    _make_stale(browser)
    assert browser.post("/my/account/email", fields).answer.headers["Location"] == "/my/confirm?next=account"
    headers = {"Authorization": "Bearer " + browser.session_cookie()}
    for password in ("", "anything"):
        answer = house.world.client.delete("/account", json={"password": password}, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (403, "confirmation_required")  # type: ignore[index]
        shown = house.world.client.post("/account/factors/confirm", json={"password": password}, headers=headers)
        assert shown.status_code == 401
    change = {"current_password": "anything", "new_password": "a whole new passphrase"}
    refused = house.world.client.post("/auth/change-password", json=change, headers=headers)
    assert (refused.status_code, "has no password" in refused.json["detail"]) == (401, True)  # type: ignore[index]


def test_an_erased_account_frees_its_identity_after_a_crash_too(house: House) -> None:
    house.browser().sign_in()
    account = house.of("ann@example.com")
    assert account is not None
    stores.account_store().begin_deletion(account.account_id, 1)
    assert erasure().finish(10**14) == 1
    (identity_id,) = account.identities
    assert stores.account_store().by_identity(identity_id) is None
    browser = house.browser()
    browser.sign_in()
    assert browser.is_logged_in
