"""Error pages say what is wrong and what to do."""

import os
import signal

import pytest

from tests.browser.conftest import NewTab
from tests.browser.tab import Tab
from tests.e2e.conftest import NewSystem

LINKS = {
    "verify-email": "Send a new link",
    "reset-password": "Send a new link",
    "change-email": "Log in and ask again",
}


@pytest.mark.parametrize("kind", sorted(LINKS))
def test_a_dead_link_offers_a_new_one(kind: str, tab: Tab) -> None:
    tab.go(f"/{kind}?token=mail_x.{'a' * 43}")
    if kind == "reset-password":
        tab.fill(password="a quiet green harbour")
    with tab.page.expect_navigation():
        tab.page.locator("main form button").click()
    assert tab.heading == "This link no longer works"
    tab.press(LINKS[kind])
    assert tab.page.locator("main form").count() == 1


def test_a_truncated_link_is_reported_at_once(tab: Tab) -> None:
    assert tab.go("/verify-email") == 400
    assert tab.heading == "This link no longer works"


def test_an_unknown_path_has_a_page_with_a_link_to_the_start(tab: Tab) -> None:
    assert tab.go("/no-such-page") == 404
    tab.check("not-found")
    tab.press("start page")
    assert tab.path == "/"


def test_after_too_many_attempts_the_page_says_how_long_to_wait(new_system: NewSystem, new_tab: NewTab) -> None:
    system = new_system({"SLUICE_AUTH_THROTTLE": "on"}).start()
    tab = new_tab(at=system.base_url)
    tab.go("/login")
    for _ in range(10):
        tab.fill(email="ann@example.com", password="wrong wrong wrong").press("Log in")
    assert tab.page.locator(".problems").count() == 1
    while "/login" in tab.path and tab.heading == "Log in":
        tab.fill(email="ann@example.com", password="wrong wrong wrong").press("Log in")
    assert tab.heading == "Too many requests" and "Wait " in tab.text and "second" in tab.text
    tab.check("too-many")


def test_during_an_outage_of_the_store_a_page_says_so_and_recovers_afterwards(
    new_system: NewSystem, new_tab: NewTab
) -> None:
    system = new_system().start()
    tab = new_tab(at=system.base_url)
    tab.go("/login")
    store, *others = system.stop_store()
    try:
        tab.fill(email="ann@example.com", password="a quiet green harbour").press("Log in")
        assert tab.heading == "Service unavailable" and "reload" in tab.text and "Request id" in tab.text
        tab.check("unavailable")
    finally:
        for pid in (store, *others):
            os.kill(pid, signal.SIGCONT)
    assert store == system.pid("store")
    system.wait_until(system.healthy)
    tab.go("/login")
    tab.fill(email="ann@example.com", password="a quiet green harbour").press("Log in")
    assert tab.page.locator(".problems").count() == 1
