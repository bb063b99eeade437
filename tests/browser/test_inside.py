"""A foreign page in a browser of this machine reads nothing of a run, also under a name that leads to 127.0.0.1."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import chromium
from tests.e2e.people import newcomer
from tests.e2e.system import System
from tests.e2e.test_inside import own_ports

ASK = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options);
        return [answer.status, await answer.text()];
    } catch (error) {
        return ["refused", ""];
    }
}"""
LIST_TABLES = {"method": "POST", "headers": {"X-Amz-Target": "DynamoDB_20120810.ListTables"}, "body": "{}"}
SIMPLE = {"method": "POST", "headers": {"Content-Type": "text/plain"}, "body": '{"model":"demo"}'}


@pytest.fixture
def page(browser: Browser, system: System) -> Iterator[Page]:
    """A page of the foreign origin. It is one of the app's own without its policy, since Chromium itself keeps pages
    of other networks away from this machine."""
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    page.goto(f"http://{chromium.FOREIGN}:{system.port}/healthz")
    yield page
    context.close()


def test_no_port_of_the_run_serves_store_or_engine_to_a_page(page: Page, system: System) -> None:
    for port in own_ports(system):
        for request in (LIST_TABLES, SIMPLE):
            assert page.evaluate(ASK, [f"http://127.0.0.1:{port}/", request]) == ["refused", ""]
            assert page.evaluate(ASK, [f"http://127.0.0.1:{port}/v1/chat/completions", request])[0] in ("refused", 401)


def test_a_page_whose_name_is_rebound_to_this_machine_reads_nothing(page: Page, system: System) -> None:
    newcomer(system.base_url)  # so that there is a mail
    for path in ("/_local/outbox", "/metrics"):
        status, text = page.evaluate(ASK, [path, {}])
        assert status == 404 and "not_found" in text
    assert page.evaluate(ASK, ["/healthz", {}])[0] == 200
