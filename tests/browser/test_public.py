"""Public pages."""

import pytest

from tests.browser.conftest import Newcomer, NewTab
from tests.browser.tab import Tab

PAGES = {"sign-up": "/sign-up", "login": "/login", "forgot": "/forgot-password", "resend": "/resend-verification",
         "start": "/"}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_public_page_is_accessible_in_both_widths_and_colour_schemes(name: str, tab: Tab) -> None:
    assert tab.go(PAGES[name]) == 200
    tab.check(name)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_public_page_is_readable_at_400_percent(name: str, tab: Tab) -> None:
    tab.page.set_viewport_size({"width": 320, "height": 256})
    tab.go(PAGES[name])
    assert tab.page.evaluate("() => document.documentElement.scrollWidth") <= 320
    hero = tab.page.locator("h1").bounding_box()
    assert hero is not None and hero["height"] < 256


def test_the_start_page_offers_what_is_there_and_plays_a_recorded_answer(tab: Tab) -> None:
    tab.go("/")
    first = tab.page.locator("[data-typed]").first
    first.scroll_into_view_if_needed()
    tab.page.locator(".typing").first.wait_for()
    assert first.text_content() == "The capital of France is Paris.", "whole for a screen reader all the while"
    tab.page.wait_for_function("() => !document.querySelector('.typing, .untyped')")
    assert "Recorded" in tab.text and "repeat what you tell me." in tab.text
    models = tab.page.locator("table", has_text="demo").inner_text()
    assert "512 tokens" in models and "$" not in models
    for text, path in (("Get an API token", "/sign-up"), ("Try it in the playground", "/login?next=chats")):
        tab.go("/")
        tab.press(text)
        assert tab.path == path


def test_nothing_plays_for_those_who_ask_for_less_motion(tab: Tab) -> None:
    tab.page.emulate_media(reduced_motion="reduce")
    tab.go("/")
    tab.page.locator("[data-typed]").first.scroll_into_view_if_needed()
    tab.page.wait_for_timeout(200)
    assert tab.page.locator(".typing, .untyped").count() == 0


def test_samples_are_chosen_without_script_and_the_recorded_answer_is_whole(new_tab: NewTab) -> None:
    tab = new_tab(script=False)
    tab.go("/")
    assert "The capital of France is Paris." in tab.page.locator("figure").inner_text()
    assert tab.page.locator(".sample:visible pre").inner_text().startswith("export OPENAI_API_KEY=")
    tab.page.get_by_text("Python", exact=True).click()
    assert tab.page.locator(".sample:visible pre").inner_text().startswith("from openai import OpenAI")
    assert tab.page.locator("[data-copy]:visible").count() == 0


def test_a_member_finds_the_way_in_on_the_start_page(newcomer: Newcomer, new_tab: NewTab) -> None:
    tab = new_tab(newcomer())
    tab.go("/")
    tab.check("start-member")
    tab.press("API tokens")
    assert tab.path == "/my/tokens"


def test_a_call_can_be_read_and_sent_from_the_page_of_the_api(tab: Tab) -> None:
    assert tab.go("/docs#gateway_healthz") == 200
    tab.check("api")
    call = tab.page.locator("details.call", has_text="/healthz")
    call.get_by_role("button", name="Send GET").click()
    call.get_by_text("200 OK after").wait_for()
    assert '"status": "ok"' in call.locator("pre").inner_text()
    tab.accessible("a call with its answer")
