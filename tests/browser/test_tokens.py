"""API tokens by clicking: issue, copy, use, revoke, delete; hostile names stay text."""

import pytest
import requests

from tests.browser.conftest import Newcomer, NewTab
from tests.browser.tab import Tab

EVIL = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def tab(newcomer: Newcomer, new_tab: NewTab) -> Tab:
    tab = new_tab(newcomer())
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.page.on("dialog", lambda dialog: tab.complaints.append(f"a dialog: {dialog.message}"))
    tab.go("/my/tokens")
    tab.press("Create token")
    return tab


def with_terms(tab: Tab) -> Tab:
    """Opens the part of the form that most people need not see."""
    tab.page.click("text=Permissions and limits")
    return tab


def make(tab: Tab, name: str = "laptop") -> str:
    """Issues a token by the form and returns the shown string."""
    tab.fill(name=name)
    tab.press("Create token")
    return tab.page.input_value("#token")


def status_of(tab: Tab, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(tab.base_url + "/v1/models", headers=headers, timeout=30).status_code


def test_a_token_for_one_model_and_a_lifetime_is_issued_copied_and_works(tab: Tab) -> None:
    with_terms(tab).check("token-new")
    tab.page.get_by_label("demo", exact=True).check()
    tab.page.select_option("#field-expires_in", "custom")
    tab.fill(custom_count="36")
    tab.page.select_option("#custom-unit", "hours")
    token = make(tab)
    tab.page.click("text=Copy token")
    tab.page.locator("#copied", has_text="Copied.").wait_for()
    assert tab.page.evaluate("() => navigator.clipboard.readText()") == token
    for title in ("Shell", "Python", "JavaScript", "Streaming", "Tools", "Coding agents"):
        tab.page.get_by_text(title, exact=True).click()  # a tab: its sample is the only one in sight
        sample = tab.page.locator(".sample:visible")
        assert sample.count() == 1 and token in sample.locator("pre").inner_text()
        with tab.timers_wait():
            sample.get_by_role("button", name="Copy the sample").click()
            tab.page.locator(".sample:visible .copied").wait_for()
        copied = tab.page.evaluate("() => navigator.clipboard.readText()")
        assert copied == sample.locator("pre").text_content()
        tab.shoot(f"token-sample-{title}")
    tab.page.wait_for_function("() => !document.querySelector('.copied')")
    tab.page.get_by_text("Shell", exact=True).click()
    tab.page.keyboard.press("ArrowRight")
    assert tab.page.locator("#sample-python").is_visible(), "tabs work by the arrow keys"
    assert f"{tab.base_url}/v1" in tab.text and status_of(tab, token) == 200
    tab.check("token-shown")
    tab.press("Done")
    assert token not in tab.page.content() and token[-6:] in tab.text
    tab.press("laptop")
    assert "demo" in tab.page.locator(".facts").inner_text()


def test_a_revoked_token_is_refused_and_a_deleted_one_is_not_listed(tab: Tab) -> None:
    token = make(tab, "doomed")
    tab.press("Done")
    tab.press("doomed")
    tab.check("token")
    revoke = tab.page.get_by_role("button", name="Revoke token")
    assert revoke.is_hidden(), "only after a second thought"
    tab.page.get_by_role("button", name="Revoke", exact=True).click()
    tab.check("token-revoke")
    tab.press("Revoke token")
    assert status_of(tab, token) == 401 and "revoked" in tab.text
    tab.press("doomed")
    tab.page.get_by_role("button", name="Delete", exact=True).click()
    tab.press("Delete token")
    assert "doomed" not in tab.text


def test_markup_in_a_tokens_name_stays_text(tab: Tab) -> None:
    make(tab, EVIL)
    assert EVIL in tab.text
    tab.press("Done")
    assert EVIL in tab.text and tab.page.locator("main img").count() == 0


def test_problems_are_shown_and_the_models_stay_ticked(tab: Tab) -> None:
    with_terms(tab).page.get_by_label("demo", exact=True).check()
    tab.fill(name=" ", tpm="many").press("Create token")
    tab.page.get_by_label("demo", exact=True).wait_for()
    assert "Please fix 2 fields" in tab.text and tab.page.get_by_label("demo", exact=True).is_checked()
    tab.check("tokens-refused")


def test_two_people_never_see_each_others_tokens(tab: Tab, newcomer: Newcomer, new_tab: NewTab) -> None:
    make(tab, "mine alone")
    tab.press("Done")
    tab.press("mine alone")
    other = new_tab(newcomer())
    assert other.go(tab.path) == 404 and "mine alone" not in other.text
    other.go("/my/tokens")
    assert "mine alone" not in other.text
    other.go("/my/tokens/new")  # a page that may ask the server from a script
    for deed in ("/revoke", "/delete"):
        status = other.page.evaluate(
            """(path) => fetch(path, {method: "POST", body: new URLSearchParams(
                 {form_token: document.querySelector('[name="form_token"]').value})}).then((it) => it.status)""",
            tab.path + deed,
        )
        assert status == 404
    tab.page.reload()
    assert "active" in tab.page.locator(".facts").inner_text()


def test_without_script_models_are_entered_as_text(newcomer: Newcomer, new_tab: NewTab) -> None:
    tab = new_tab(newcomer(), script=False)
    tab.go("/my/tokens/new")
    with_terms(tab).fill(models="demo")
    make(tab, "typed")
    assert tab.page.locator("text=Copy token").is_hidden()
    tab.press("Done")
    tab.press("typed")
    assert "demo" in tab.page.locator(".facts").inner_text()


def test_without_a_list_of_models_they_are_entered_as_text(newcomer: Newcomer, new_tab: NewTab) -> None:
    tab = new_tab(newcomer())
    tab.page.route("**/my/models*", lambda route: route.fulfill(status=503, body="<h1>away</h1>"))
    with tab.page.expect_response("**/my/models*"):
        tab.go("/my/tokens/new")
    with_terms(tab).page.locator("#typed-models").wait_for()
    assert tab.page.locator("h1").count() == 1


def test_the_list_of_tokens_is_accessible_in_both_widths_and_colour_schemes(tab: Tab) -> None:
    make(tab)
    tab.press("Done")
    tab.check("tokens")


def test_every_token_is_revoked_after_a_second_thought_only(tab: Tab) -> None:
    token = make(tab)
    tab.press("Done")
    button = tab.page.get_by_role("button", name="Revoke all 2")
    assert button.is_hidden(), "of the newcomer and of the form"
    tab.page.click("text=Revoke all tokens…")
    tab.check("tokens-revoke-all")
    tab.press("Revoke all 2")
    assert status_of(tab, token) == 401 and "All tokens revoked" in tab.text


def test_a_token_gets_limits_and_is_rotated_with_a_grace(tab: Tab) -> None:
    with_terms(tab).fill(rpm="5")
    old = make(tab, "worker")
    tab.press("Done")
    tab.press("worker")
    tab.fill(tpm="many")
    tab.press("Save")
    tab.check("token-wrong-limit")
    tab.fill(tpm="700")
    tab.press("Save")
    assert "Token changed" in tab.text
    tab.page.select_option("#field-grace_seconds", "3600")
    tab.press("Rotate token")
    new = tab.page.input_value("#token")
    assert new != old and (status_of(tab, old), status_of(tab, new)) == (200, 200)


def test_a_reload_makes_no_second_token(tab: Tab) -> None:
    token = make(tab, "once")
    tab.page.reload()
    assert token not in tab.page.content() and "It was shown once." in tab.text
    tab.go("/my/tokens")
    assert tab.page.locator("tbody tr", has_text="once").count() == 1


def test_a_publishable_token_is_made_shown_with_its_snippet_and_changed(tab: Tab) -> None:
    tab.go("/my/tokens/new")
    websites, scopes = tab.page.get_by_label("Websites"), tab.page.locator("#field-scopes")
    assert websites.is_hidden()
    tab.page.select_option("#field-kind", "publishable")
    assert websites.is_visible() and scopes.is_hidden()
    tab.fill(name="My page", origins="https://ada.example/blog", daily_requests="many")
    tab.press("Create token")
    assert "is no origin" in tab.text and websites.input_value() == "https://ada.example/blog"
    tab.check("token-publishable-wrong")
    tab.fill(origins="https://ada.example\nhttp://localhost:8000", daily_requests="500")
    tab.press("Create token")
    token = tab.page.input_value("#token")
    snippet = tab.page.locator("#sample-page").inner_text()
    assert token.startswith("pk_") and f'data-token="{token}"' in snippet and 'data-model="demo"' in snippet
    assert f'<script src="{tab.base_url}/embed.js"' in snippet
    tab.check("token-publishable-shown")
    tab.press("Done")
    assert "publishable" in tab.page.locator("tbody tr", has_text="My page").inner_text()
    tab.press("My page")
    assert websites.input_value() == "https://ada.example\nhttp://localhost:8000"
    tab.check("token-publishable")
    tab.fill(origins="https://b.example", per_visitor="3")
    tab.press("Save")
    assert "Token changed" in tab.text and websites.input_value() == "https://b.example"
    assert tab.page.get_by_label("Requests a minute of each visitor").input_value() == "3"
    assert tab.page.get_by_label("Requests a day of all visitors").input_value() == "500"
