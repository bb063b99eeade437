"""Rules for every page: security headers, forms bound to their browser, errors as pages, own assets only."""

import re
from typing import Any

import pytest

from functions.accounts import app as accounts
from functions.tokens import app as tokens
from sluice.domain.accounts.account import Account
from sluice.http.on_lambda import wsgi
from sluice.pages.links import is_for_members
from tests.integration.accounts.test_lambda import event, header
from tests.integration.accounts.world import PASSWORD, forget_everything
from tests.integration.pages.browser import OWN, Browser, Page, PageParser
from tests.integration.usage.world import UsageWorld
from tests.ports import free_port

OPEN = ["/", "/sign-up", "/login", "/forgot-password", "/resend-verification", "/verify-email?token=x",
        "/reset-password?token=x", "/change-email?token=x", "/verify-email", "/nowhere"]  # fmt: skip
NO_PAGES = {"/my/usage/log.csv", "/manage/usage.csv", "/my/models"}  # a file, and a part of a page
FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8080"},
    {"Origin": "null"},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    {},
]


def test_every_page_has_the_headers_and_nothing_inline(world: UsageWorld, member: Browser) -> None:
    for path in every_page(world):
        _check_headers_and_content(member.get(path))


def _check_headers_and_content(page: Page) -> None:
    headers = page.answer.headers
    assert page.answer.mimetype == "text/html"
    scripts = [has for tag, has in page.tags if tag == "script"]
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'" + ("; script-src 'self'; connect-src 'self'" if scripts else "")
    )
    assert all(has["src"].startswith("/static/") for has in scripts)
    assert set(re.findall(r"<script[^>]*>(.*?)</script>", page.html, re.DOTALL)) <= {""}
    assert not scripts or 'type="password"' not in page.html
    assert headers["X-Frame-Options"] == "DENY" and headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "private, no-store" and headers["Referrer-Policy"] in (
        "same-origin",
        "no-referrer",
    )
    assert not [tag for tag, _ in page.tags if tag in ("style", "iframe", "object")]
    assert not [name for _, has in page.tags for name in has if name.startswith("on") or name == "style"]
    addresses = [has[name] for _, has in page.tags for name in ("href", "src", "action") if name in has]
    # A passkey has its own name for this machine.
    assert [one for one in addresses if not re.match(r"[/#](?!/)|http://localhost:8080/my/", one)] == []


def test_every_page_has_accessible_markup(world: UsageWorld, member: Browser) -> None:
    for path in every_page(world):
        _check_markup(member.get(path))


def _check_markup(page: Page) -> None:
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h1") == 1 and tags.count("main") == 1
    assert re.search(r"<title>\s*\S.+ – Sluice</title>", page.html) and '<html lang="en">' in page.html
    ids = [has["id"] for _, has in page.tags if "id" in has]
    assert len(ids) == len(set(ids))
    labelled = {has.get("for") for tag, has in page.tags if tag == "label"}
    for tag, has in page.tags:
        if tag in ("input", "select", "textarea") and has.get("type") not in ("hidden", "checkbox"):
            assert has["id"] in labelled, has
    for _, has in page.tags:
        assert set(has.get("aria-describedby", "").split()) <= set(ids)


def test_every_asset_is_served_by_us_and_cached(browser: Browser) -> None:
    assets = [has["href"] for tag, has in browser.get("/").tags if tag == "link"]
    assert len(assets) == 2
    for address in assets:
        answer = browser.get(address).answer
        assert answer.status_code == 200 and "max-age=86400" in answer.headers["Cache-Control"]
    sheet = browser.get(assets[1]).html
    assert "prefers-color-scheme: dark" in sheet and "url(" not in sheet and "@import" not in sheet
    assert browser.get("/static/nothing.css").status == 404


def test_a_form_of_another_site_changes_nothing(member: Browser) -> None:
    """Even with the right form token, because each of the two checks is sufficient."""
    fields = member.get("/my/tokens/new").form("/my/tokens").fields
    for headers in FOREIGN:
        refused = member.post("/my/tokens", {**fields, "name": "evil"}, headers)
        assert refused.status == 403 and refused.answer.mimetype == "text/html", headers
    assert "No API tokens yet" in member.get("/my/tokens").text


def test_a_login_form_of_another_site_makes_no_session(browser: Browser, ann: Account) -> None:
    fields = browser.get("/login").form("/login").fields
    for headers in FOREIGN:
        assert browser.post("/login", {**fields, "email": ann.email, "password": PASSWORD}, headers).status == 403
    assert browser.session_cookie() == ""


def paths(world: UsageWorld, method: str, *, members: bool) -> list[str]:
    """The paths of all pages, so that the rules apply to new ones too."""
    rules = [
        re.sub(r"<\w+>", "x", rule.rule.replace("<name>", "sluice.css"))
        for rule in world.app.url_map.iter_rules()
        if method in (rule.methods or ())
        and world.app.view_functions[rule.endpoint].__module__.startswith("sluice.pages.")
    ]
    found = [path for path in rules if is_for_members(path) == members]
    assert len(found) >= 7
    return found


def every_page(world: UsageWorld) -> list[str]:
    return [*OPEN, "/my/nowhere", *(path for path in paths(world, "GET", members=True) if path not in NO_PAGES)]


def test_every_form_for_members_is_bound_to_the_session(world: UsageWorld, member: Browser, stranger: Browser) -> None:
    theirs = stranger.get("/my/tokens/new").form("/my/tokens").fields["form_token"]
    for path in paths(world, "POST", members=True):
        for form_token in ("", "x", theirs):
            assert member.post(path, {"form_token": form_token, "name": "x", "password": PASSWORD}).status == 403, path
    assert member.get("/my/account").status == 200


def test_every_other_form_is_bound_to_the_browser(world: UsageWorld, browser: Browser) -> None:
    theirs = Browser(world.app.test_client()).get("/login").form("/login").fields["form_token"]
    browser.get("/login")
    for path in set(paths(world, "POST", members=False)) - {"/language"}:  # the origin is enough for a language
        for form_token in ("", theirs):
            fields = {"form_token": form_token, "token": "x", "email": "a@example.com", "password": PASSWORD}
            assert browser.post(path, fields).status == 403, path


def test_every_page_for_members_sends_a_stranger_to_the_login(world: UsageWorld, browser: Browser) -> None:
    forged = "ses_0000000000000000." + "A" * 43
    for cookie in ("", forged, "nonsense"):
        browser.client.set_cookie("sluice_session", cookie)
        for path in set(paths(world, "GET", members=True)) - {"/logout"}:
            sent = browser.get(path)
            assert sent.status == 303 and sent.answer.headers["Location"].startswith("/login?next="), path


def test_a_new_login_invalidates_older_forms(member: Browser, ann: Account) -> None:
    before = member.get("/my/tokens/new").form("/my/tokens").fields
    member.log_in(ann.email, PASSWORD)
    assert member.post("/my/tokens", {**before, "name": "x"}).status == 403


def test_pages_with_a_code_accept_the_null_origin(browser: Browser) -> None:
    """Browsers send `Origin: null` with the POST of a page whose policy is no-referrer."""
    fields = browser.get("/verify-email?token=x").form("/verify-email").fields
    for site, status in (({"Sec-Fetch-Site": "same-origin"}, 400), ({}, 400), ({"Sec-Fetch-Site": "cross-site"}, 403)):
        assert browser.post("/verify-email", fields, {"Origin": "null", **site}).status == status


def test_an_api_token_is_not_accepted_on_pages(world: UsageWorld, browser: Browser, ann: Account) -> None:
    issued = world.issue(world.login(ann))
    sent = browser.get("/my/tokens", Authorization=f"Bearer {issued['token']}")
    assert sent.status == 303 and sent.answer.headers["Location"].startswith("/login")


def test_an_unknown_path_is_a_page_for_browsers_and_problem_json_for_programs(browser: Browser) -> None:
    page = browser.get("/nowhere")
    assert page.status == 404 and page.answer.mimetype == "text/html" and "/" in page.links
    program = browser.client.get("/nowhere")
    assert program.status_code == 404 and program.mimetype == "application/problem+json"


def test_getting_the_path_of_a_form_is_405_with_the_allowed_methods(member: Browser) -> None:
    page = member.get("/my/account/password")
    assert (page.status, page.answer.mimetype, page.answer.headers["Allow"]) == (405, "text/html", "OPTIONS, POST")
    program = member.client.get("/auth/login")
    assert (program.status_code, program.mimetype) == (405, "application/problem+json")
    assert program.headers["Allow"] == "OPTIONS, POST"


def test_the_json_api_answers_browsers_with_json_too(browser: Browser) -> None:
    for path in ("/account", "/tokens", "/usage", "/auth/nothing", "/chats", "/admin/nothing", "/v1/x"):
        answer = browser.get(path).answer
        assert answer.status_code in (401, 404) and "json" in str(answer.mimetype), path


def test_a_form_over_1_mib_is_refused_with_a_page(browser: Browser) -> None:
    fields = browser.get("/login").form("/login").fields
    refused = browser.post("/login", {**fields, "email": "x" * (1024 * 1024)})
    assert refused.status == 413 and refused.answer.mimetype == "text/html"


def test_a_form_in_another_media_type_is_refused(browser: Browser) -> None:
    browser.get("/login")
    assert browser.client.post("/login", json={"email": "a"}, headers=OWN).status_code == 403


def test_without_a_store_pages_are_503_with_retry_after(
    member: Browser, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = browser.get("/login")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{free_port()}")
    forget_everything()
    down = [
        member.get(path)
        for path in ("/my/chats", "/my/tokens", "/my/usage", "/my/usage/log", "/my/usage/log.csv", "/my/account")
    ]
    down.append(browser.submit(login, "/login", email="a@example.com", password=PASSWORD))
    for page in down:
        assert page.status == 503 and page.answer.mimetype == "text/html"
        assert int(page.answer.headers["Retry-After"]) >= 1 and "127.0.0.1" not in page.text
    assert browser.get("/").status == 200


def test_an_unexpected_error_is_a_page_with_a_request_id_and_no_trace(
    member: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.wiring import stores

    monkeypatch.setattr(stores.token_store(), "of_account", lambda account_id: 1 / 0)
    broken = member.get("/my/tokens")
    assert broken.status == 500 and broken.answer.headers["x-request-id"] in broken.text
    assert "ZeroDivision" not in broken.html and "Traceback" not in broken.html


def test_on_https_cookies_are_secure_and_links_keep_the_stage_prefix(
    world: UsageWorld, ann: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice import settings

    monkeypatch.setenv("SLUICE_BASE_URL", "https://sluice.example/live")
    settings.common.cache_clear()
    wsgi.cache_clear()
    answer = accounts.handler(event("GET", "/login"), None)
    parser = PageParser()
    parser.feed(answer["body"])
    assert parser.forms[0].action == "/live/login" and "/live/sign-up" in parser.links
    cookie = header(answer, "set-cookie")
    assert cookie.startswith("__Host-sluice_form=") and "Secure" in cookie and "Path=/" in cookie
    sent = tokens.handler(event("GET", "/my/tokens"), None)
    assert sent["statusCode"] == 303 and header(sent, "location") == "/live/login?next=tokens"
    wsgi.cache_clear()


def test_every_page_is_left_out_of_the_api_document() -> None:
    import json

    from infra.openapi import TARGET

    document: dict[str, Any] = json.loads(TARGET.read_text())
    assert [path for path in document["paths"] if path.startswith(("/my/", "/login", "/sign-up", "/static"))] == []
