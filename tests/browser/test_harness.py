"""The suite's own checks detect faults of a page."""

import pytest

from tests.browser.conftest import NewTab
from tests.browser.tab import Tab

BAD_PAGE = """<!doctype html><html lang="en"><title>Bad – Sluice</title><h1>Bad</h1><main>
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


def test_a_page_that_scrolls_sideways_is_detected(bad: Tab) -> None:
    with pytest.raises(AssertionError, match="sideways"):
        bad.check("bad")


def test_requests_to_other_hosts_script_errors_and_console_errors_are_detected(bad: Tab) -> None:
    bad.page.evaluate("() => { new Image().src = 'http://other.example/x.png'; console.error('oh'); }")
    bad.page.evaluate("() => { setTimeout(() => { throw new Error('thrown'); }, 0); }")
    bad.page.wait_for_timeout(200)
    seen = "\n".join(bad.complaints)
    assert "http://other.example/x.png" in seen and "console: oh" in seen and "thrown" in seen, seen
    bad.complaints.clear()
