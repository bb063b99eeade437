"""Public pages."""

import pytest

from tests.browser.tab import Tab

PAGES = {"sign-up": "/sign-up", "login": "/login", "forgot": "/forgot-password", "resend": "/resend-verification",
         "start": "/"}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_public_page_is_accessible_in_both_widths_and_colour_schemes(name: str, tab: Tab) -> None:
    assert tab.go(PAGES[name]) == 200
    tab.check(name)


def test_a_call_can_be_read_and_sent_from_the_page_of_the_api(tab: Tab) -> None:
    assert tab.go("/docs#gateway_healthz") == 200
    tab.check("api")
    call = tab.page.locator("details.call", has_text="/healthz")
    call.get_by_role("button", name="Send GET").click()
    call.get_by_text("200 OK after").wait_for()
    assert '"status": "ok"' in call.locator("pre").inner_text()
    tab.accessible("a call with its answer")
