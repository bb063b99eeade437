"""`system`: one `make up` for the suite; `new_tab`: a person's browser; `newcomer`: a person with an account."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import chromium
from tests.browser.stage import Stage, opened
from tests.browser.tab import Tab
from tests.e2e import people
from tests.e2e.admins import make_admin
from tests.e2e.conftest import new_system, system  # noqa: F401 (fixtures)
from tests.e2e.people import Person
from tests.e2e.system import System

NewTab = Callable[..., Tab]
Newcomer = Callable[[], Person]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium.running() as running:
        yield running


@pytest.fixture
def new_tab(browser: Browser, request: pytest.FixtureRequest) -> Iterator[NewTab]:
    """As `Tab`, `at` another address than the system's; closed and checked for complaints afterwards."""
    opened: list[Tab] = []

    def open_tab(
        person: Person | None = None, *, script: bool = True, at: str = "", zone: str = "UTC", locale: str = "en-GB"
    ) -> Tab:
        base_url = at or request.getfixturevalue("system").base_url
        opened.append(Tab(browser, base_url, person, script=script, zone=zone, locale=locale))
        return opened[-1]

    yield open_tab
    for tab in opened:
        tab.close()
    assert [tab.complaints for tab in opened if tab.complaints] == []


@pytest.fixture
def tab(new_tab: NewTab) -> Tab:
    """A browser that is not logged in."""
    return new_tab()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The pages with a scripted model (tests/browser/stage.py)."""
    with opened(tmp_path_factory.mktemp("stage")) as found:
        yield found


@pytest.fixture(scope="session")
def admin(system: System) -> Person:  # noqa: F811
    return make_admin(system)


@pytest.fixture
def newcomer(system: System) -> Newcomer:  # noqa: F811
    """`newcomer()`: a person with a verified address, a session and an API token, made by HTTP."""
    return lambda: people.newcomer(system.base_url)
