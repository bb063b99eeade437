"""Pages that anyone sees."""

import pytest

from tests.browser.conftest import NewTab
from tests.browser.tab import Tab

PAGES = {"sign-up": "/sign-up", "login": "/login", "forgot": "/forgot-password", "resend": "/resend-verification"}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_reads_well_in_both_widths_and_colours(name: str, tab: Tab) -> None:
    assert tab.go(PAGES[name]) == 200
    tab.check(name)


def test_an_address_that_nobody_serves_has_a_page_that_leads_on(new_tab: NewTab) -> None:
    tab = new_tab()
    assert tab.go("/no-such-page") == 404
    tab.check("not-found")
    tab.press("start page")
    assert tab.path == "/"
