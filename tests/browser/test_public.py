"""Public pages."""

import pytest

from tests.browser.tab import Tab

PAGES = {"sign-up": "/sign-up", "login": "/login", "forgot": "/forgot-password", "resend": "/resend-verification",
         "start": "/"}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_public_page_is_accessible_in_both_widths_and_colour_schemes(name: str, tab: Tab) -> None:
    assert tab.go(PAGES[name]) == 200
    tab.check(name)
