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
    tab.resize({"width": 320, "height": 256})
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


def test_a_call_is_found_read_copied_and_sent_from_the_api_reference(tab: Tab) -> None:
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    assert tab.go("/docs#gateway_healthz") == 200
    index = tab.page.get_by_role("navigation", name="Calls")
    assert index.locator("[aria-current]").inner_text().startswith("GET")
    call = tab.page.locator("#gateway_healthz")
    call.get_by_role("button", name="Send request").click()
    call.get_by_text("200 OK after").wait_for()
    assert '"status": "ok"' in call.get_by_role("region", name="Answer").inner_text()
    tab.check("api-call")
    index.get_by_label("Filter calls and objects").fill("chat/completions whole")
    assert index.locator("li a:visible").count() == 1
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    call = tab.page.locator("#gateway_chat_completions")
    assert call.get_attribute("open") is not None
    call.get_by_role("button", name="Copy").click()
    assert tab.page.evaluate("() => navigator.clipboard.readText()").startswith('curl -X POST "$SLUICE_URL/v1/chat/')
    assert tab.base_url in tab.page.locator("#sample-variables").inner_text()
    tab.page.evaluate("() => scrollTo(0, 0)")
    tab.press("API tokens")
    assert tab.path.startswith("/login")


def test_the_api_reference_is_light_and_faultless_also_with_every_call_open(tab: Tab, new_tab: NewTab) -> None:
    tab.go("/docs")
    tab.check("api")
    sent = "() => performance.getEntries().reduce((sum, one) => sum + (one.transferSize || 0), 0)"
    assert 30_000 < tab.page.evaluate(sent) < 300_000
    tab.page.evaluate("() => document.querySelectorAll('details').forEach((it) => (it.open = true))")
    for scheme, width, height in (("light", 1280, 800), ("dark", 320, 256)):
        tab.resize({"width": width, "height": height})
        tab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert tab.page.evaluate("() => document.documentElement.scrollWidth") <= width
        tab.accessible(f"all calls open, {width} px, {scheme}")
    unscripted = new_tab(script=False)
    unscripted.go("/docs")
    unscripted.page.locator("#gateway_chat_completions > summary").click()
    assert "ChatCompletion" in unscripted.page.locator("#gateway_chat_completions").inner_text()
    assert unscripted.page.locator("#wanted").is_hidden() and unscripted.page.get_by_text("Copy").first.is_hidden()
