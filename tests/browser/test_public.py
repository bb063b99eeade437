"""Pages that anyone sees."""

import pytest

from tests.browser.tab import Tab

PAGES = {"sign-up": "/sign-up", "login": "/login", "forgot": "/forgot-password", "resend": "/resend-verification",
         "start": "/"}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_reads_well_in_both_widths_and_colours(name: str, tab: Tab) -> None:
    assert tab.go(PAGES[name]) == 200
    tab.check(name)
