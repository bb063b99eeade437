"""openai-node in a page of another origin, in Chromium: where the owner allows that origin, and where not."""

from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.browser import chromium
from tests.browser.tab import PATIENCE_MS
from tests.clients.catalogue import HERE
from tests.clients.install import node_modules
from tests.clients.test_openai_python import TRUE
from tests.e2e import people
from tests.e2e.people import Person
from tests.e2e.system import System
from tests.servers import Server
from tests.waiting import eventually


class Files(SimpleHTTPRequestHandler):
    """`/openai/…` from openai-node's package, and the page for all else."""

    def log_message(self, *arguments: Any) -> None:
        return

    def translate_path(self, path: str) -> str:
        name = urlsplit(path).path
        is_module = name.startswith("/openai/") and ".." not in name
        return str(node_modules() / name[1:] if is_module else HERE / "browser.html")


@pytest.fixture(scope="module")
def page_port() -> Iterator[int]:
    with Server(Files) as server:
        yield server.server_port


@pytest.fixture(scope="module")
def other_origin(page_port: int) -> str:
    return f"http://{chromium.FOREIGN}:{page_port}"


@pytest.fixture(scope="module")
def guest(other_origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A person of a system that allows the other origin."""
    system = System(tmp_path_factory.mktemp("origins") / "data", {"SLUICE_ALLOWED_ORIGINS": other_origin})
    try:
        yield people.newcomer(system.start().base_url)
    finally:
        system.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of this module only: while Playwright runs, no other test of the process can start a loop."""
    with chromium.running() as running:
        yield running


def asked(browser: Browser, origin: str, person: Person) -> dict[str, Any]:
    """What the page of this origin reads."""
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(origin)
        page.wait_for_function("() => 'ask' in window")
        words = [person.base_url + "/v1", person.api_token]
        return dict(page.evaluate("([url, key]) => window.ask(url, key)", words))


def answered(person: Person) -> int:
    """How many answers the ledger has."""
    return sum(record["status"] == 200 for record in person.call("GET", "/usage/logs").json()["data"])


def test_a_page_of_an_allowed_origin_reads_answers_streams_headers_and_errors(
    browser: Browser, other_origin: str, guest: Person
) -> None:
    got = asked(browser, other_origin, guest)
    assert "failed" not in got, got
    assert got["whole"] == got["streamed"] == TRUE and "demo" in got["models"]
    assert all(got["headers"]), got
    assert got["refused"][:2] == ["NotFoundError", 404] and got["refused"][2]
    assert got["stranger"][:2] == ["AuthenticationError", 401] and got["stranger"][2]
    eventually(lambda: answered(guest) == 2)


def test_a_page_of_another_origin_reads_nothing_and_asks_nothing(
    browser: Browser, guest: Person, page_port: int
) -> None:
    before = answered(guest)
    got = asked(browser, f"http://127.0.0.1:{page_port}", guest)
    assert got == {"failed": ["APIConnectionError", None, None]}
    assert answered(guest) == before
