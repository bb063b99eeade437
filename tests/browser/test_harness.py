"""The suite's own checks detect faults of a page."""

import pytest

from tests.browser.conftest import NewTab
from tests.browser.tab import Tab
from tests.browser.walk import by_keyboard, named, still

BAD_PAGE = """<!doctype html><html lang="en"><title>Bad – Sluice</title><h1>Bad</h1><main>
<style>p { animation: spin 9s infinite } @keyframes spin { to { left: 1px } } :focus { outline: none !important }
.bar { position: fixed; z-index: 2; inset: 0 0 auto 0; height: 100vh; background: #fff }</style>
<div class="bar"></div><button></button>
<input><p style="color:#bbb;background:#ccc">Who can read this?</p><div style="width:2000px">wide</div></main>"""


@pytest.fixture
def bad(new_tab: NewTab) -> Tab:
    tab = new_tab()
    tab.page.route("**/bad", lambda route: route.fulfill(body=BAD_PAGE, content_type="text/html"))
    tab.go("/bad")
    return tab


def test_axe_detects_an_unlabelled_field_and_low_contrast(bad: Tab) -> None:
    with pytest.raises(AssertionError, match=r'"label"[\s\S]*"color-contrast"|"color-contrast"[\s\S]*"label"'):
        bad.accessible("the bad page")


def test_a_control_without_a_name_or_a_seen_focus_and_what_moves_are_detected(bad: Tab) -> None:
    with pytest.raises(AssertionError, match=r"without a name on bad.*button"):
        named(bad, "bad")
    with pytest.raises(AssertionError, match="the focus is not seen"):
        by_keyboard(bad, "bad")
    with pytest.raises(AssertionError, match="spin"):
        still(bad, "bad")


def test_a_focus_behind_a_bar_is_detected(bad: Tab) -> None:
    bad.page.add_style_tag(content="div[style] { display: none }")
    with pytest.raises(AssertionError, match="behind something else"):
        bad.zoomed("bad")


def test_a_page_that_scrolls_sideways_is_detected(bad: Tab) -> None:
    with pytest.raises(AssertionError, match="sideways"):
        bad.check("bad")


def test_requests_to_other_hosts_script_errors_and_console_errors_are_detected(bad: Tab) -> None:
    bad.page.evaluate("() => { new Image().src = 'http://other.example/x.png'; console.error('oh'); }")
    bad.page.evaluate("() => { setTimeout(() => { throw new Error('thrown'); }, 0); }")
    for one in ("http://other.example/x.png", "console: oh", "thrown"):
        while one not in "\n".join(bad.complaints):
            bad.page.wait_for_timeout(20)
    bad.complaints.clear()
