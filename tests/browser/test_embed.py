"""`embed.js` in a static site of another origin whose policy allows as little as it can; and a page of another site."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import chromium
from tests.browser.stage import Stage
from tests.browser.tab import AXE, PATIENCE_MS, RUN_AXE, SCREENSHOTS
from tests.e2e.people import Person
from tests.servers import Handler, Server

POLICY = "default-src 'none'; script-src {at}; connect-src {at}; style-src 'self'"
PAGE = """<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>Ada's page</title>
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/style.css"></head>
<body><main><h1>Ada's page</h1><p>Try it:</p>
<script src="{at}/embed.js" data-token="{token}" data-model="demo"></script>
<p id="after">After it.</p></main></body></html>"""
STYLE = """:root { color-scheme: light dark; font-family: serif; } body { margin: 1rem; }
p { font-size: 2rem !important; } button, textarea, section { display: none !important; }"""


class Site:
    """A static site at two origins. `token` and `lang` are of the page that it serves."""

    def __init__(self, at: str) -> None:
        self.at, self.token, self.lang = at, "", "en"
        site = self

        class Requests(Handler):
            def do_GET(self) -> None:
                is_page = self.path == "/"
                body = PAGE.format(at=site.at, token=site.token, lang=site.lang) if is_page else STYLE
                kind = f"text/{'html' if is_page else 'css'}; charset=utf-8"
                policy = POLICY.format(at=site.at)
                self.answer(200, body.encode(), content_type=kind, content_security_policy=policy)

        server = Server(Requests)
        self.origin, self.stop = server.url, server.stop
        self.elsewhere = f"http://{chromium.FOREIGN}:{server.server_port}"


@pytest.fixture(scope="module")
def site(stage: Stage) -> Iterator[Site]:
    found = Site(stage.url)
    yield found
    found.stop()


@pytest.fixture
def owner(stage: Stage) -> Person:
    stage.model.says("The capital of ", "France is ", "Paris.")
    return stage.person()[0]


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, site: Site, owner: Person) -> Iterator[Visit]:
    """Opens the site with a token of these terms, in a browser of its own; → the page. No page may complain."""
    complaints, contexts = [], []

    def visiting(at: str = "", lang: str = "en", **terms: Any) -> Page:
        wanted = {"name": "page", "kind": "publishable", "origins": [site.origin], "models": ["demo"], **terms}
        issued = owner.call("POST", "/tokens", json=wanted)
        assert issued.status_code == 201, issued.text
        site.token, site.lang, owner.token_id = issued.json()["token"], lang, issued.json()["id"]
        contexts.append(browser.new_context(locale="en-GB"))
        contexts[-1].set_default_timeout(PATIENCE_MS)
        page = contexts[-1].new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(at or site.origin)
        return page

    yield visiting
    cookies = [cookie for context in contexts for cookie in context.cookies()]
    for context in contexts:
        context.close()
    assert [text for text in complaints if "the server responded with a status of" not in text] == []
    assert cookies == []


def send(page: Page, text: str = "Capital of France?") -> None:
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")


def state(page: Page, text: str) -> str:
    page.get_by_role("status").filter(has_text=text).wait_for()
    return page.get_by_role("status").inner_text()


def test_a_visitor_chats_in_a_page_with_a_strict_policy_and_its_styles_stay_out(visit: Visit, stage: Stage) -> None:
    page = visit()
    assert page.locator("main > :not(script, p, h1, div)").count() == 0
    send(page)
    state(page, "The answer is complete.")
    log = page.get_by_role("log")
    assert "Capital of France?" in log.inner_text() and "The capital of France is Paris." in log.inner_text()
    send(page, "And of Japan?")
    page.wait_for_function(
        "() => document.querySelector('main > div').shadowRoot.querySelectorAll('article').length === 4"
    )
    state(page, "The answer is complete.")
    asked = [message["content"] for message in stage.model.asked[-1]["messages"]]
    assert asked == ["Capital of France?", "The capital of France is Paris.", "And of Japan?"]
    assert log.locator("p").first.evaluate("it => getComputedStyle(it).fontSize") == "16px"
    assert page.locator("#after").evaluate("it => getComputedStyle(it).fontSize") == "32px"
    page.get_by_role("button", name="Clear").click()
    assert log.inner_text() == "" and page.get_by_label("Message").evaluate("it => it.matches(':focus')")


@pytest.mark.parametrize("lang", ["en", "zh-Hant-TW", "ja"])
def test_it_is_accessible_and_fits_in_light_and_dark_and_three_languages(visit: Visit, lang: str) -> None:
    page = visit(lang=lang)
    labels = {"en": "Message", "zh-Hant-TW": "訊息", "ja": "メッセージ"}
    page.get_by_label(labels[lang]).fill("Capital of France?")
    page.keyboard.press("Enter")
    page.get_by_role("log").locator("article").nth(1).filter(has_text="Paris.").wait_for()
    page.evaluate(AXE.read_text())
    for width, scheme in ((1280, "light"), (360, "dark")):
        page.set_viewport_size({"width": width, "height": 740})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"embed-{lang}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate(RUN_AXE)["violations"] == []
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_an_answer_is_stopped_and_what_there_is_stays(visit: Visit, stage: Stage) -> None:
    page, gate = visit(), threading.Event()
    stage.model.says("The capital of ", gate, "France.")
    send(page)
    page.get_by_role("log").get_by_text("The capital of").wait_for()
    page.get_by_role("button", name="Stop").click()
    gate.set()
    state(page, "Stopped.")
    assert "The capital of" in page.get_by_role("log").inner_text()


def test_an_answer_that_breaks_off_says_so(visit: Visit, stage: Stage) -> None:
    page = visit()
    stage.model.says("The capital of ", end="error")
    send(page)
    state(page, "The answer broke off.")


def test_a_page_of_another_origin_is_refused_in_words(visit: Visit, site: Site) -> None:
    page = visit(at=site.elsewhere)
    send(page)
    assert site.elsewhere in state(page, "This chat is not set up for")
    assert page.get_by_label("Message").input_value() == "Capital of France?", "the words are not lost"
    assert page.get_by_role("log").locator("article").count() == 0


def test_limits_and_a_revoked_token_are_told_in_words(visit: Visit, owner: Person) -> None:
    page = visit(per_visitor={"rpm": 1})
    send(page)
    state(page, "The answer is complete.")
    page.get_by_role("button", name="Clear").click()
    send(page)
    assert "You can go on in" in state(page, "You have sent many messages.")
    page = visit(daily_requests=1)
    send(page)
    state(page, "The answer is complete.")
    send(page)
    assert "hour" in state(page, "used up for today") or "minute" in state(page, "used up for today")
    owner.call("POST", f"/tokens/{owner.token_id}/revoke")
    send(page)
    state(page, "not available any more")


def test_the_script_is_small_cached_and_may_be_loaded_by_any_page(stage: Stage) -> None:
    import requests

    from sluice.pages import assets

    script = requests.get(f"{stage.url}/embed.js", timeout=10)
    assert script.headers["content-type"].startswith("text/javascript") and len(script.content) < 20_000
    assert script.headers["access-control-allow-origin"] == "*"
    assert script.headers["cross-origin-resource-policy"] == "cross-origin"
    assert script.headers["cache-control"] == "public, max-age=3600"
    versioned = requests.get(f"{stage.url}/embed.js?v={assets.version('embed.js')}", timeout=10)
    assert versioned.headers["cache-control"] == "public, max-age=31536000"
    again = {"If-None-Match": script.headers["etag"]}
    assert requests.get(f"{stage.url}/embed.js", headers=again, timeout=10).status_code == 304
