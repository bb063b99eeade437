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
    return tab


def make(tab: Tab, name: str = "laptop") -> str:
    """Issues a token by the form and returns the shown string."""
    tab.fill(name=name)
    tab.press("Make the token")
    return tab.page.input_value("#token")


def status_of(tab: Tab, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(tab.base_url + "/v1/models", headers=headers, timeout=30).status_code


def test_a_token_for_one_model_and_a_lifetime_is_issued_copied_and_works(tab: Tab) -> None:
    tab.page.get_by_label("demo", exact=True).check()
    tab.page.select_option("#field-expires_in", "custom")
    tab.fill(custom_count="36")
    tab.page.select_option("#custom-unit", "hours")
    token = make(tab)
    tab.page.click("text=Copy the token")
    tab.page.locator("#copied", has_text="Copied.").wait_for()
    assert tab.page.evaluate("() => navigator.clipboard.readText()") == token
    for sample in ("shell", "python", "javascript"):
        button = tab.page.locator(f"[data-copy=sample-{sample}]")
        assert button.inner_text() == "Copy this sample"
        button.click()
        tab.page.locator(f"[data-copy=sample-{sample}]", has_text="Copied.").wait_for()
        tab.page.wait_for_function(
            f"""async () => (await navigator.clipboard.readText())
                === document.getElementById("sample-{sample}").textContent"""
        )
    tab.page.locator("[data-copy=sample-javascript]", has_text="Copy this sample").wait_for()
    assert f"{tab.base_url}/v1" in tab.text and status_of(tab, token) == 200
    tab.check("token-shown")
    tab.press("I have copied it")
    assert token not in tab.page.content() and token[-6:] in tab.text
    tab.press("laptop")
    assert "demo" in tab.page.locator(".facts").inner_text()


def test_a_revoked_token_is_refused_and_a_deleted_one_is_not_listed(tab: Tab) -> None:
    token = make(tab, "doomed")
    tab.press("I have copied it")
    tab.press("doomed")
    tab.check("token")
    tab.press("Revoke this token")
    assert status_of(tab, token) == 401 and "revoked" in tab.text
    tab.press("doomed")
    tab.press("Delete this token")
    assert "doomed" not in tab.text


def test_markup_in_a_tokens_name_stays_text(tab: Tab) -> None:
    make(tab, EVIL)
    assert EVIL in tab.text
    tab.press("I have copied it")
    assert EVIL in tab.text and tab.page.locator("main img").count() == 0


def test_problems_are_shown_and_the_models_stay_ticked(tab: Tab) -> None:
    tab.page.get_by_label("demo", exact=True).check()
    tab.fill(name=" ")
    tab.press("Make the token")
    tab.page.get_by_label("demo", exact=True).wait_for()
    assert "This needs another look" in tab.text and tab.page.get_by_label("demo", exact=True).is_checked()
    tab.check("tokens-refused")


def test_two_people_never_see_each_others_tokens(tab: Tab, newcomer: Newcomer, new_tab: NewTab) -> None:
    make(tab, "mine alone")
    tab.press("I have copied it")
    tab.press("mine alone")
    other = new_tab(newcomer())
    assert other.go(tab.path) == 404 and "mine alone" not in other.text
    other.go("/my/tokens")
    assert "mine alone" not in other.text
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
    tab.go("/my/tokens")
    tab.fill(models="demo")
    make(tab, "typed")
    assert tab.page.locator("text=Copy the token").is_hidden()
    tab.press("I have copied it")
    tab.press("typed")
    assert "demo" in tab.page.locator(".facts").inner_text()


def test_without_a_list_of_models_they_are_entered_as_text(newcomer: Newcomer, new_tab: NewTab) -> None:
    tab = new_tab(newcomer())
    tab.page.route("**/my/models*", lambda route: route.fulfill(status=503, body="<h1>away</h1>"))
    with tab.page.expect_response("**/my/models*"):
        tab.go("/my/tokens")
    tab.page.wait_for_timeout(200)
    assert tab.page.locator("#typed-models").is_visible() and tab.page.locator("h1").count() == 1


def test_the_list_of_tokens_is_accessible_in_both_widths_and_colour_schemes(tab: Tab) -> None:
    make(tab)
    tab.press("I have copied it")
    tab.page.get_by_label("demo", exact=True).wait_for()
    tab.check("tokens")


def test_a_token_gets_limits_and_is_rotated_with_a_grace(tab: Tab) -> None:
    tab.fill(rpm="5")
    old = make(tab, "worker")
    tab.press("I have copied it")
    tab.press("worker")
    tab.fill(tpm="many")
    tab.press("Save")
    tab.check("token-wrong-limit")
    tab.fill(tpm="700")
    tab.press("Save")
    assert "The token is changed" in tab.text
    tab.page.select_option("#field-grace_seconds", "3600")
    tab.press("Rotate this token")
    new = tab.page.input_value("#token")
    assert new != old and (status_of(tab, old), status_of(tab, new)) == (200, 200)


def test_a_reload_makes_no_second_token(tab: Tab) -> None:
    token = make(tab, "once")
    tab.page.reload()
    assert token not in tab.page.content() and "It was shown once." in tab.text
    tab.go("/my/tokens")
    assert tab.page.locator("tbody tr", has_text="once").count() == 1
