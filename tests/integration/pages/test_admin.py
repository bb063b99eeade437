"""The admin's pages are for admins only; every change takes effect at once and is in the audit log."""

import re
from pathlib import Path
from typing import Any

import pytest

from sluice.adapters.usage import refusals as refusal_table
from sluice.domain.accounts.account import Account
from sluice.domain.gateway.contents import LoggedContent
from sluice.domain.periods import period_of
from sluice.domain.usage.refusals import Refusal
from sluice.pages.amounts import moment
from sluice.wiring import stores
from sluice.wiring.usage import refusals
from tests.integration.accounts.world import PASSWORD
from tests.integration.pages.browser import OWN, Browser
from tests.integration.pages.test_usage import images, tiles
from tests.integration.usage.world import UsageWorld, now_ms

VIEWS = ["usage", "log", "tokens"]  # of a user
PAGES = ["/manage", "/manage/users", "/manage/usage", "/manage/refusals", "/manage/audit"]
DEEDS = ["limits", "suspend", "restore", "role"]


@pytest.fixture
def owner(world: UsageWorld) -> Account:
    return world.account("owner@example.com", role="admin")


@pytest.fixture
def admin(world: UsageWorld, owner: Account) -> Browser:
    made = Browser(world.app.test_client())
    assert made.log_in(owner.email, PASSWORD).status == 200
    return made


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_sent_to_the_login_and_back(path: str, browser: Browser) -> None:
    answered = browser.get(path)
    assert answered.status == 303
    assert browser.get(answered.answer.headers["Location"]).form("/login").fields["next"]


@pytest.mark.parametrize("path", PAGES)
def test_a_member_who_is_not_an_admin_is_refused_and_sees_no_user(path: str, member: Browser, owner: Account) -> None:
    answered = member.get(path)
    assert answered.status == 403 and "admin" in answered.text
    assert owner.email not in answered.text


@pytest.mark.parametrize("deed", DEEDS)
def test_a_member_who_is_not_an_admin_can_change_nothing(
    deed: str, member: Browser, owner: Account, ann: Account
) -> None:
    for target in (owner, ann):
        token = member.get("/my/account").form("/my/account/profile").fields["form_token"]
        data = {"form_token": token, "role": "admin", "password": PASSWORD, "rpm": "7"}
        assert member.post(f"/manage/users/{target.account_id}/{deed}", data).status == 403
    assert member.get("/my/account").status == 200


@pytest.mark.parametrize("deed", DEEDS)
def test_every_change_needs_the_forms_token(deed: str, admin: Browser, ann: Account) -> None:
    data = {"role": "admin", "password": PASSWORD, "rpm": "7", "form_token": "x"}
    assert admin.post(f"/manage/users/{ann.account_id}/{deed}", data).status == 403
    foreign = {**OWN, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert admin.post(f"/manage/users/{ann.account_id}/{deed}", data, foreign).status == 403


def test_refused_requests_of_all_accounts_are_shown_by_page(
    admin: Browser, world: UsageWorld, ann: Account, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No refused requests in this period" in admin.get("/manage/refusals").text
    now = now_ms()
    people = [ann, world.account("grace@example.net")]
    for account in people:
        refusals().note(account.account_id, Refusal("req_" + account.email, now, "tok_a", "invalid_json", 400, "/v1/x"))
    refusals().flush()
    shown = admin.get("/manage/refusals").text
    assert all(account.email in shown for account in people) and "invalid_json" in shown and "Latest refusals" in shown

    monkeypatch.setattr(refusal_table, "ENOUGH", 1)
    assert admin.get("/manage/refusals?cursor=nonsense").status == 422
    session = world.login(owner)
    pages, cursor = [], ""
    while cursor is not None:
        answer = world.client.get("/admin/refusals", query_string={"cursor": cursor}, headers=session).json
        pages += [(row["account_id"], row["code"], row["count"]) for row in answer["data"]]
        cursor = answer["next_cursor"]
    assert sorted(pages) == sorted((account.account_id, "invalid_json", 1) for account in people)


def test_users_are_found_by_part_of_an_address(admin: Browser, world: UsageWorld) -> None:
    world.account("grace@example.net")
    world.account("linus@example.org")
    everyone = admin.get("/manage/users").text
    assert "grace@example.net" in everyone and "linus@example.org" in everyone
    found = admin.get("/manage/users?query=grace").text
    assert "grace@example.net" in found and "linus" not in found
    assert "No user matches “xyz”" in admin.get("/manage/users?query=xyz").text


def test_markup_in_users_names_stays_text(admin: Browser, world: UsageWorld, member: Browser, ann: Account) -> None:
    evil = '<img src=x onerror="alert(1)">'
    member.submit(member.get("/my/account"), "/my/account/profile", name=evil, store_content="on")
    for path in ("/manage/users", f"/manage/users/{ann.account_id}"):
        shown = admin.get(path)
        assert evil in shown.text and not images(shown)


def test_suspending_and_restoring_take_effect_at_once(admin: Browser, member: Browser, ann: Account) -> None:
    place = f"/manage/users/{ann.account_id}"
    done = admin.submit(admin.get(place), place + "/suspend")
    assert done.status == 200 and "is suspended" in done.text
    assert member.get("/my/tokens").status == 403
    done = admin.submit(done, place + "/restore")
    assert "is restored" in done.text
    assert member.get("/my/tokens").status == 200
    log = admin.get("/manage/audit").text
    assert "Account suspended" in log and "Account restored" in log and ann.email in log
    assert "status: active → suspended" in log


def test_limits_are_changed_and_an_invalid_value_is_shown_again(admin: Browser, ann: Account) -> None:
    place = f"/manage/users/{ann.account_id}"
    done = admin.submit(admin.get(place), place + "/limits", rpm="7", tpm="")
    assert done.status == 200 and done.form(place + "/limits").fields["rpm"] == "7"
    assert "rpm: 60 → 7" in admin.get("/manage/audit").text
    wrong = admin.submit(done, place + "/limits", rpm="many", concurrency="-1")
    assert wrong.status == 422 and wrong.form(place + "/limits").fields["rpm"] == "many"
    assert "Concurrent requests: must be at least 0" in wrong.text
    assert admin.get(place).form(place + "/limits").fields["rpm"] == "7"


def test_changing_a_role_needs_the_admins_own_password(admin: Browser, member: Browser, ann: Account) -> None:
    place = f"/manage/users/{ann.account_id}/role"
    refused = admin.submit(admin.get(place), place, password="not it at all")
    assert refused.status == 401 and member.get("/manage").status == 403
    done = admin.submit(refused, place, password=PASSWORD)
    assert done.status == 200 and "role is changed" in done.text
    assert member.get("/manage/users").status == 200
    assert "role: user → admin" in admin.get("/manage/audit").text
    admin.submit(admin.get(place), place, password=PASSWORD)
    assert member.get("/manage/users").status == 403


def test_an_admin_cannot_suspend_or_demote_themselves(admin: Browser, owner: Account) -> None:
    place = f"/manage/users/{owner.account_id}"
    shown = admin.get(place)
    assert [form.action for form in shown.forms if form.action.startswith("/manage")] == [place + "/limits"]
    token = shown.form(place + "/limits").fields["form_token"]
    for deed in ("suspend", "role"):
        data = {"form_token": token, "password": PASSWORD, "role": "user"}
        assert admin.post(f"{place}/{deed}", data).status == 403
    assert admin.get("/manage").status == 200


def test_an_account_with_an_unverified_address_cannot_become_an_admin(admin: Browser, world: UsageWorld) -> None:
    pending = world.account("maybe@example.com", status="pending")
    place = f"/manage/users/{pending.account_id}/role"
    assert admin.submit(admin.get(place), place, password=PASSWORD).status == 409


@pytest.mark.parametrize("deed", ["", "/role"])
@pytest.mark.parametrize("name", ["usr_nobody", "usr_" + "a" * 16, "x", "%2e%2e", "%00"])
def test_the_page_of_an_unknown_user_is_a_404(name: str, deed: str, admin: Browser) -> None:
    assert admin.get(f"/manage/users/{name}{deed}").status == 404


def test_the_system_page_reports_a_model_that_does_not_answer(admin: Browser) -> None:
    shown = admin.get("/manage")
    assert shown.status == 200
    assert "unreachable" in shown.text and "The model does not answer" in shown.text  # no model runs in this test


def test_finished_first_steps_are_marked_as_done(admin: Browser, world: UsageWorld) -> None:
    shown = admin.get("/manage")
    assert "Your next three steps" in shown.text and not re.search("three steps.*done", shown.text)
    admin.submit(admin.get("/my/tokens/new"), "/my/tokens", name="laptop")
    world.account("maybe@example.net", status="pending")
    assert admin.get("/manage").text.count(" done") == 1, "nobody else is active"
    world.account("grace@example.net")
    assert admin.get("/manage").text.count(" done") == 2


@pytest.mark.parametrize("query", ["?cursor=x", "?query=" + "a" * 300, "?from=x", "?to=2026-13-01"])
@pytest.mark.parametrize("path", PAGES[1:])
def test_an_invalid_query_is_answered_or_refused_without_a_server_error(path: str, query: str, admin: Browser) -> None:
    assert admin.get(path + query).status in (200, 422)


def test_only_admins_see_the_link_to_the_admin_pages(admin: Browser, member: Browser) -> None:
    assert "/manage" in admin.get("/my/tokens").links
    assert "/manage" not in member.get("/my/tokens").links


def test_the_start_page_of_an_empty_local_system_explains_the_first_step(
    browser: Browser, world: UsageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.local.config import admin_command
    from sluice import settings
    from sluice.pages import home

    monkeypatch.setattr(home, "_somebody_is_here", False)
    assert (
        "Nobody has an account here yet" not in browser.get("/").text
    )  # outside local runs the page never looks for accounts
    monkeypatch.setenv("SLUICE_LOCAL", "1")
    settings.common.cache_clear()
    monkeypatch.setenv("SLUICE_ADMIN_COMMAND", admin_command(Path("/srv/with space")))
    settings.common.cache_clear()
    assert "Copy SLUICE_DATA_DIR='/srv/with space' .venv/bin/sluice admin create you@" in browser.get("/").text
    world.account("ann@example.com")
    assert "sluice admin create" not in browser.get("/").text


def test_users_are_sorted_by_their_month_and_say_when_they_were_seen(
    admin: Browser, world: UsageWorld, owner: Account, ann: Account
) -> None:
    bob, now = world.account("bob@example.com"), now_ms()
    month = {"period": period_of(now), "pp": period_of(now)}
    used: dict[str, dict[str, Any]] = {
        ann.account_id: {"period_tokens": 900, "pu": 2_500_000, "tat_requests_ns": (now - 5000) * 1_000_000},
        bob.account_id: {"period_tokens": 1200, "pu": 1_000_000, "tat_requests_ns": (now + 30_000) * 1_000_000},
    }
    for account_id, values in used.items():
        world.set_grant(account_id, **month, **values)

    def order(query: str) -> list[str]:
        return re.findall(r'<th scope="row" class="long"><a[^>]*>([^@]+)', admin.get("/manage/users" + query).html)

    assert order("") == order("?sort=-tokens") == ["bob", "ann", "owner"]
    assert order("?sort=-cost") == ["ann", "bob", "owner"] and order("?sort=address") == ["ann", "bob", "owner"]
    assert order("?sort=seen") == ["owner", "ann", "bob"] and order("?sort=-address") == ["owner", "bob", "ann"]
    shown = admin.get("/manage/users")
    assert "$2.5000" in shown.text and "$1.0000" in shown.text and moment(now) in shown.text and "never" in shown.text
    assert [has["aria-sort"] for tag, has in shown.tags if "aria-sort" in has] == ["descending"]
    assert admin.get("/manage/users?sort=password_hash").status == 422


@pytest.mark.parametrize("view", VIEWS)
def test_the_views_of_a_user_are_for_admins_only(view: str, member: Browser, owner: Account, admin: Browser) -> None:
    answered = member.get(f"/manage/users/{owner.account_id}/{view}")
    assert answered.status == 403 and owner.email not in answered.text
    for unknown in ("usr_nobody", "usr_" + "a" * 16, "%00"):
        assert admin.get(f"/manage/users/{unknown}/{view}").status == 404


def test_an_admin_sees_a_users_amounts_and_never_prompts_or_api_tokens(
    admin: Browser, world: UsageWorld, ann: Account
) -> None:
    issued, now = world.issue(world.login(ann), name="laptop"), now_ms()
    record = world.record(ann.account_id, token_id=issued["id"], model="anns-model")
    failed = world.record(ann.account_id, at_ms=now - 5, status=503).request_id
    world.record(model="another-ones")
    content = LoggedContent("my prompt", "my response")
    stores.hot_store().put_content(ann.account_id, record.request_id, content, now, now // 1000 + 60)
    place = f"/manage/users/{ann.account_id}"
    assert set(admin.get(place).links) >= {f"{place}/{view}" for view in VIEWS}
    used, log, tokens = (admin.get(f"{place}/{view}") for view in VIEWS)
    assert tiles(used)["Requests"] == "2" and "anns-model" in used.text
    assert record.request_id in log.text and "laptop" in log.text and failed in log.text
    assert re.findall(r'<li id="(req_\w+)">', admin.get(f"{place}/log?status=failed").html) == [failed]
    assert "laptop" in tokens.text and "active" in tokens.text
    for shown in (used, log, tokens):
        assert not re.search("my prompt|my response|another-ones|" + issued["token"][-6:], shown.html)
    for view in VIEWS[:2]:
        assert admin.get(f"{place}/{view}?cursor=x&from=x").status == 422
