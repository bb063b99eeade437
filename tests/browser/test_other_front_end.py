"""A site's own front end, of another origin: from sign-up to an answer by the JSON API alone, without a cookie."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import chromium
from tests.e2e import people
from tests.e2e.people import PASSWORD, code_in, mails_to, new_address
from tests.e2e.system import System
from tests.servers import Handler, Server

# → status, the body, and of the headers those that a front end needs
CALL = """async ([method, url, token, body]) => {
    const headers = {"content-type": "application/json", "x-request-id": "front-end-1"};
    if (token) headers.authorization = `Bearer ${token}`;
    const asked = {method, headers, body: body ? JSON.stringify(body) : undefined};
    const answer = await fetch(url, asked).catch((error) => error);
    if (answer instanceof Error) return {failed: answer.name};
    const text = await answer.text();
    const told = ["x-request-id", "retry-after", "x-ratelimit-limit-requests"].map((one) => answer.headers.get(one));
    return {status: answer.status, body: text ? JSON.parse(text) : null, told};
}"""


class Empty(Handler):
    def do_GET(self) -> None:
        self.answer(200, b"<!doctype html><title>A front end</title>", content_type="text/html")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Server(Empty) as server:
        yield server.server_port


@pytest.fixture(scope="module")
def at(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a system that allows the other origin."""
    allowed = {"SLUICE_ALLOWED_ORIGINS": f"http://{chromium.FOREIGN}:{port}"}
    system = System(tmp_path_factory.mktemp("front-end") / "data", allowed)
    try:
        yield system.start().base_url
    finally:
        system.stop()


class FrontEnd:
    def __init__(self, page: Page, at: str) -> None:
        self.page, self.at, self.token = page, at, ""

    def call(self, method: str, path: str, body: Any = None, token: str = "") -> dict[str, Any]:
        asked = [method, self.at + path, token or self.token, body]
        return dict(self.page.evaluate(CALL, asked))

    def done(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        answer = self.call(method, path, body, token)
        assert answer.get("status", 0) in range(200, 300), (method, path, answer)
        assert answer["told"][0] == "front-end-1"
        return answer["body"]


def test_a_listed_origin_signs_up_mints_a_token_and_chats(browser: Browser, at: str, port: int) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://{chromium.FOREIGN}:{port}")
        site, email = FrontEnd(page, at), new_address()
        site.done("POST", "/auth/register", {"email": email, "password": PASSWORD, "name": "Ada"})
        code = code_in(mails_to(at, email, "verify_email")[0])
        site.done("POST", "/auth/verify-email", {"token": code})
        assert site.call("POST", "/auth/login", {"email": email, "password": "not this one"})["status"] == 401
        site.token = site.done("POST", "/auth/login", {"email": email, "password": PASSWORD})["session"]["token"]
        assert context.cookies() == [], "no cookie of this site is set from another"
        assert site.done("GET", "/account")["email"] == email
        assert site.done("PATCH", "/account", {"name": "Countess"})["name"] == "Countess"
        issued = site.done("POST", "/tokens", {"name": "front end"})
        question = {"model": "demo", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
        answer = site.call("POST", "/v1/chat/completions", question, issued["token"])
        assert answer["status"] == 200 and answer["told"][2]
        assert "Paris" in answer["body"]["choices"][0]["message"]["content"]
        assert site.done("GET", "/tokens")["data"][0]["id"] == issued["id"]
        assert "data" in site.done("GET", "/usage/logs")
        site.done("GET", f"/tokens/{issued['id']}")
        site.done("DELETE", f"/tokens/{issued['id']}")
        for method, path, body, status in (
            ("GET", "/tokens/tok_none", None, 404),
            ("POST", "/tokens", {"name": ""}, 422),
            ("PUT", "/account", {}, 405),
            ("GET", "/admin/users", None, 403),
        ):
            refused = site.call(method, path, body)
            assert refused.get("status") == status and refused["told"][0], (path, refused)
        site.done("POST", "/auth/logout")
        assert site.call("GET", "/account")["status"] == 401


def test_an_origin_that_is_not_listed_reads_nothing_even_with_a_token(browser: Browser, at: str, port: int) -> None:
    person = people.newcomer(at)
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        site = FrontEnd(page, at)
        site.token = person.session_token
        for method, path in (("GET", "/account"), ("POST", "/tokens"), ("POST", "/auth/login")):
            assert site.call(method, path, {} if method == "POST" else None) == {"failed": "TypeError"}
