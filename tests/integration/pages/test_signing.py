"""Sign-up, login and logout by forms; no page shows whether an address is known."""

import pytest

from sluice.domain.accounts.account import Account
from tests.integration.accounts.world import PASSWORD, switch_on_throttles
from tests.integration.pages.browser import OWN, Browser, Page
from tests.integration.usage.world import UsageWorld


def shape(page: Page, email: str) -> tuple[int, str, list[str]]:
    """Every part of the response that could show whether an address is known."""
    varying = {"x-request-id", "Set-Cookie", "Content-Length"}
    headers = sorted(f"{name}: {value}" for name, value in page.answer.headers if name not in varying)
    form_tokens = [form.fields.get("form_token", "") for form in page.forms]
    html = page.html
    for token in form_tokens:
        html = html.replace(token or "\0", "")
    return page.status, html.replace(email, "ADDRESS"), headers


@pytest.mark.parametrize(
    ("path", "more"), [("/sign-up", {"password": PASSWORD}), ("/forgot-password", {}), ("/resend-verification", {})]
)
def test_every_address_gets_the_same_page(browser: Browser, world: UsageWorld, path: str, more: dict[str, str]) -> None:
    known = [
        world.account(f"a{place}@example.com", status=status) for place, status in enumerate(("active", "pending"))
    ]
    shapes = []
    for email in (*(account.email for account in known), "nobody@example.com"):
        answered = browser.submit(browser.get(path), path, email=email, **more)
        shapes.append(shape(answered, email))
    assert shapes[0][0] == 200 and shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize("path", ["/sign-up", "/forgot-password", "/resend-verification"])
def test_a_reload_of_the_page_after_it_sends_no_second_mail(browser: Browser, path: str) -> None:
    given = {"email": "a+ü@example.com", "password": PASSWORD}
    sent = browser.post(path, {**browser.get(path).form(path).fields, **given})
    place, cookie = sent.answer.headers["Location"], sent.answer.headers["Set-Cookie"]
    assert (sent.status, place) == (303, path + "?note=sent")
    assert "HttpOnly" in cookie and f"Path={path};" in cookie + ";" and "Max-Age=600" in cookie
    for _ in range(2):
        shown = browser.get(place)
        assert shown.status == 200 and "Check your email" in shown.text and given["email"] in shown.text
    browser.client.delete_cookie("sluice_mailed", path=path)
    assert "the address you entered" in browser.get(place).text


def test_a_wrong_password_and_an_unknown_address_get_the_same_page(browser: Browser, ann: Account) -> None:
    wrong = browser.log_in(ann.email, "wrong wrong wrong")
    unknown = browser.log_in("nobody@example.com", "wrong wrong wrong")
    assert wrong.status == 401 and "Couldn't log you in" in wrong.text
    assert shape(wrong, ann.email) == shape(unknown, "nobody@example.com")
    assert "wrong wrong wrong" not in wrong.html


def test_all_problems_of_a_sign_up_are_shown_together_and_the_entries_stay(browser: Browser) -> None:
    refused = browser.submit(
        browser.get("/sign-up"), "/sign-up", email="no address", password="short", name="<b>Ann</b>" + "x" * 100
    )
    assert refused.status == 422 and refused.text.startswith("Error: Sign up")
    assert {"#field-email", "#field-password", "#field-name"} <= set(refused.links)
    inputs = {attributes["name"]: attributes for tag, attributes in refused.tags if tag == "input"}
    assert inputs["email"]["value"] == "no address" and inputs["email"]["aria-invalid"] == "true"
    assert "problem-email" in inputs["email"]["aria-describedby"]
    assert "short" not in refused.html and "b" not in [tag for tag, _ in refused.tags]


def test_only_the_right_password_shows_that_the_address_is_not_verified(browser: Browser, world: UsageWorld) -> None:
    account = world.account(status="pending")
    assert "Verify" not in browser.log_in(account.email, "wrong wrong wrong").text
    told = browser.log_in(account.email, PASSWORD)
    assert told.status == 403 and "/resend-verification" in told.links


def test_the_login_of_a_suspended_account_explains_the_refusal(browser: Browser, world: UsageWorld) -> None:
    told = browser.log_in(world.account(status="suspended").email, PASSWORD)
    assert told.status == 403 and "This account is suspended" in told.text


def test_login_sets_the_session_cookie_as_the_api_does(browser: Browser, ann: Account) -> None:
    form = browser.get("/login").form("/login")
    answer = browser.client.post("/login", data={**form.fields, "email": ann.email, "password": PASSWORD}, headers=OWN)
    cookie = next(value for value in answer.headers.getlist("Set-Cookie") if value.startswith("sluice_session=ses_"))
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie
    assert (answer.status_code, answer.headers["Location"]) == (303, "/my/chats")


def test_each_login_makes_a_new_session(browser: Browser, member: Browser, ann: Account) -> None:
    planted = member.session_cookie()
    browser.client.set_cookie("sluice_session", planted)
    browser.log_in(ann.email, PASSWORD)
    assert browser.session_cookie() not in ("", planted)


@pytest.mark.parametrize(
    "path", ["/my/tokens", "/my/usage", "/my/usage/log", "/my/account", "/my/chats/chat_0123456789abcdef"]
)
def test_after_the_login_the_requested_page_is_shown(browser: Browser, ann: Account, path: str) -> None:
    sent = browser.get(path)
    assert sent.status == 303 and sent.answer.headers["Location"].startswith("/login?next=")
    login = browser.get(sent.answer.headers["Location"])
    form = login.form("/login").fields
    answer = browser.client.post("/login", data={**form, "email": ann.email, "password": PASSWORD}, headers=OWN)
    assert answer.headers["Location"] == path


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/my/account",
        "chat_../evil",
        "",
    ],
)
def test_a_login_redirects_only_to_our_pages(browser: Browser, ann: Account, wanted: str) -> None:
    login = browser.get("/login?next=" + wanted)
    assert "evil" not in login.html
    form = {**login.form("/login").fields, "next": wanted, "email": ann.email, "password": PASSWORD}
    assert browser.client.post("/login", data=form, headers=OWN).headers["Location"] == "/my/chats"


def test_an_admin_lands_on_the_overview(browser: Browser, world: UsageWorld) -> None:
    world.account("owner@example.com", role="admin")
    form = {**browser.get("/login").form("/login").fields, "email": "owner@example.com", "password": PASSWORD}
    assert browser.client.post("/login", data=form, headers=OWN).headers["Location"] == "/manage"


def test_a_login_ends_the_browsers_earlier_session(member: Browser, ann: Account, world: UsageWorld) -> None:
    before = member.session_cookie()
    assert member.log_in(ann.email, PASSWORD).status == 200
    assert member.session_cookie() != before and member.get("/my/account").status == 200
    thief = Browser(world.app.test_client())
    thief.client.set_cookie("sluice_session", before)
    assert thief.get("/my/account").status == 303


def test_logout_ends_the_session_and_clears_the_cookie(member: Browser) -> None:
    cookie = member.session_cookie()
    out = member.submit(member.get("/my/tokens"), "/logout")
    assert "You are logged out" in out.text and member.session_cookie() == ""
    member.client.set_cookie("sluice_session", cookie)
    assert member.get("/my/tokens").status == 303


def test_logout_clears_the_data_that_pages_may_have_stored(member: Browser) -> None:
    token = member.get("/my/tokens").form("/logout").fields["form_token"]
    assert member.post("/logout", {"form_token": token}).answer.headers["Clear-Site-Data"] == '"storage"'


def test_a_link_to_logout_asks_for_confirmation(member: Browser) -> None:
    assert member.get("/logout").form("/logout").method == "post"
    assert member.get("/my/tokens").status == 200


def test_throttled_logins_show_how_long_to_wait(
    browser: Browser, ann: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_on_throttles(monkeypatch)
    tried = [browser.log_in(ann.email, "wrong wrong wrong") for _ in range(12)]
    throttled = tried[-1]
    assert throttled.status == 429 and throttled.answer.mimetype == "text/html"
    assert f"Wait {throttled.answer.headers['Retry-After']} second" in throttled.text


def test_on_a_local_run_the_page_says_where_mails_are(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice import settings

    sent = browser.submit(browser.get("/forgot-password"), "/forgot-password", email="a+b@example.com")
    assert not [link for link in sent.links if "outbox" in link]
    monkeypatch.setenv("SLUICE_LOCAL", "1")
    settings.common.cache_clear()
    sent = browser.submit(browser.get("/forgot-password"), "/forgot-password", email="a+b@example.com")
    assert "/_local/outbox?to=a%2Bb%40example.com" in sent.links
