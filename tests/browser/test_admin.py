"""The admin's pages by clicking: changes take effect at once, and other people are refused."""

from typing import Any

import pytest

from tests.browser.conftest import Newcomer, NewTab
from tests.browser.tab import Tab
from tests.e2e.people import PASSWORD, Person, ask
from tests.e2e.system import System
from tests.waiting import eventually

PAGES = {
    "system": "/manage",
    "users": "/manage/users",
    "all-usage": "/manage/usage",
    "refusals": "/manage/refusals",
    "settings": "/manage/settings",
    "audit": "/manage/audit",
}


@pytest.fixture
def office(admin: Person, new_tab: NewTab) -> Tab:
    """The admin's browser."""
    return new_tab(admin)


def open_user(office: Tab, person: Person) -> None:
    office.go("/manage/users")
    office.fill(query=person.email).press("Search")
    office.press(person.email)
    assert office.heading == person.email


@pytest.mark.parametrize("name", sorted(PAGES))
def test_an_admin_page_is_accessible_and_hidden_from_strangers_and_members(
    name: str, office: Tab, newcomer: Newcomer, new_tab: NewTab
) -> None:
    member = newcomer()
    assert ask(member, "What is 2 + 2?").status_code == 200
    assert office.go(PAGES[name]) == 200
    office.check(f"admin-{name}")
    tab = new_tab(member)
    assert tab.go(PAGES[name]) == 403
    assert "These pages are for the admins" in tab.text and tab.page.get_by_text("Audit log").count() == 0
    tab = new_tab()
    tab.go(PAGES[name])
    assert tab.path.startswith("/login?next=")


def test_the_system_page_shows_the_model_and_a_healthy_system(office: Tab) -> None:
    def at_rest() -> bool:
        office.go("/manage")
        return "0 running" in office.text  # what another test began may run for a moment

    eventually(at_rest)
    model = office.page.locator(".tile").first.inner_text()
    assert "ready" in model and "demo" in model


def test_an_account_is_suspended_and_restored_at_once(office: Tab, newcomer: Newcomer, new_tab: NewTab) -> None:
    ann = newcomer()
    theirs = new_tab(ann)
    open_user(office, ann)
    office.check("admin-user")
    office.press("Suspend this account")
    assert "The account is suspended" in office.text
    assert theirs.go("/my/tokens") == 403
    theirs.check("suspended")
    assert ask(ann, "Hello").status_code == 403
    office.press("Restore this account")
    assert theirs.go("/my/tokens") == 200
    assert ask(ann, "Hello").status_code == 200
    office.press("Audit log")
    assert "Account suspended" in office.text and "Account restored" in office.text and ann.email in office.text


def test_new_limits_take_effect_with_the_next_request(office: Tab, newcomer: Newcomer) -> None:
    ann = newcomer()
    open_user(office, ann)
    office.fill(rpm="many").press("Change limits")
    assert office.page.title().startswith("Error: ") and office.page.locator("[name=rpm]").input_value() == "many"
    office.fill(rpm="0").press("Change limits")
    assert "The limits are changed" in office.text
    assert ask(ann, "Hello").status_code == 429
    assert ann.call("GET", "/account").json()["limits"]["rpm"] == 0


def test_granting_and_removing_a_role_needs_the_admins_own_password(
    office: Tab, newcomer: Newcomer, new_tab: NewTab
) -> None:
    ann = newcomer()
    theirs = new_tab(ann)
    open_user(office, ann)
    office.press("Make this account an admin")
    office.check("admin-role")
    office.fill(password="not it at all").press("Make this account an admin")
    assert office.page.title().startswith("Error: ") and theirs.go("/manage") == 403
    office.fill(password=PASSWORD).press("Make this account an admin")
    assert theirs.go("/manage") == 200
    assert theirs.page.get_by_role("link", name="Audit log", exact=True).count() == 1
    office.press("Take the admin role away").fill(password=PASSWORD).press("Take the role away")
    assert theirs.go("/manage") == 403


def test_the_usage_of_all_accounts_is_the_sum_of_the_ledger(
    office: Tab, newcomer: Newcomer, system: System, admin: Person
) -> None:
    ann = newcomer()
    account_id = ann.call("GET", "/account").json()["id"]
    used = ask(ann, "What is the capital of France?").json()["usage"]

    def rolled_up() -> bool:
        rows = admin.call("GET", "/admin/usage?group_by=account").json()["data"]
        mine = [row for row in rows if row["key"] == account_id]
        return [row["completion_tokens"] for row in mine] == [used["completion_tokens"]]

    system.wait_until(rolled_up)
    office.go("/manage/usage?split=model")
    titles = {title for title, _ in drawn(office)}
    assert {"Requests a day", "Tokens a day"} <= titles and "Cost" not in titles, "without a price no dollars"

    def unchanged() -> Any:
        """The sums, if they were the same before and after the page was made: other tests' records may come late."""
        before = admin.call("GET", "/admin/usage").json()["total"]
        office.go("/manage/usage")
        return before if admin.call("GET", "/admin/usage").json()["total"] == before else None

    total = eventually(unchanged)
    office.check("admin-usage-plots")
    plots = dict(drawn(office))
    tiles = office.page.locator(".tile dd").all_inner_texts()
    assert tiles[0].splitlines()[0] == f"{total['requests']:,}"
    assert tiles[1].splitlines()[0] == f"{total['prompt_tokens'] + total['completion_tokens']:,}"
    assert plots["Requests a day"] == total["requests"]
    assert plots["Tokens a day"] == total["prompt_tokens"] + total["completion_tokens"]
    assert total["cost_usd"] is None


def drawn(office: Tab) -> list[tuple[str, float]]:
    """The sum of what each plot shows."""
    titled = """() => [...document.querySelectorAll(".plots figure")].map((figure) => [
        figure.querySelector("figcaption").firstChild.textContent,
        figure.drawn.flatMap((series) => series.values).reduce((sum, value) => sum + value, 0),
    ])"""
    return [(title, total) for title, total in office.page.evaluate(titled)]


def test_markup_in_names_and_addresses_stays_text(office: Tab, newcomer: Newcomer) -> None:
    ann = newcomer()
    evil = '<img src=x onerror="console.error(\'ran\')"><a href="javascript:console.error(1)">x</a>'
    assert ann.call("PATCH", "/account", json={"name": evil}).status_code == 200
    open_user(office, ann)
    assert evil in office.text
    assert office.page.locator("main img, main a[href^=javascript]").count() == 0


def test_the_admin_pages_work_without_javascript(admin: Person, newcomer: Newcomer, new_tab: NewTab) -> None:
    office, ann = new_tab(admin, script=False), newcomer()
    open_user(office, ann)
    office.press("Suspend this account")
    assert "The account is suspended" in office.text


def test_labels_and_times_do_not_break_beside_long_values(office: Tab, newcomer: Newcomer, new_tab: NewTab) -> None:
    ann = newcomer()
    theirs = new_tab(ann)
    theirs.go("/my/account")
    theirs.fill(name="Wilhelmina " * 9).press("Save")
    open_user(office, ann)
    office.press("Suspend this account")
    office.press("Restore this account")
    for path in ("/manage/users?query=wilhelmina", "/manage/audit"):
        office.go(path)
        office.check("long-values")
    office.page.set_viewport_size({"width": 1280, "height": 800})
    when = office.page.locator("tbody th").first
    lines = (
        "(it) => { const all = document.createRange(); all.selectNodeContents(it); return all.getClientRects().length }"
    )
    assert when.evaluate(lines) == 1


def test_users_are_sorted_and_lead_to_their_usage_log_and_tokens(office: Tab, newcomer: Newcomer) -> None:
    ann = newcomer()
    used = ask(ann, "What is the capital of France?").json()["usage"]["total_tokens"]
    office.go("/manage/users")
    office.press("Since")
    head = office.page.locator("thead [aria-sort]")
    assert head.count() == 1 and head.get_attribute("aria-sort") == "descending"
    newest = office.page.locator("tbody tr").first
    assert ann.email in newest.inner_text() and f"{used}" in newest.locator("[data-label^=Tokens]").inner_text()
    assert "never" not in newest.locator("[data-label='Last seen']").inner_text()
    office.check("admin-users")
    office.press(ann.email)
    for name, shown in {"Usage": "Tokens", "Request log": "200", "API tokens": "active"}.items():
        office.page.locator(".tabs").get_by_role("link", name=name).click()
        office.page.locator(f".tabs [aria-current=page]:text-is('{name}')").wait_for()
        assert shown in office.page.locator("main").inner_text(), name
        office.check("admin-user-" + name.lower().replace(" ", "-"))
    assert "Amounts only" not in office.text and ann.api_token not in office.page.content()
