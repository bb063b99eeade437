"""One person's browser: its own cookies, one tab, and a check for errors that no page may have.

    tab = new_tab(ann)              # logged in; new_tab() is not, new_tab(script=False) has no JavaScript
    tab.go("/my/tokens")            # → the answer's status
    tab.page                        # Playwright's Page, for everything else
    tab.check("tokens")             # axe, both widths and 400 % zoom; screenshots in both widths and colour schemes

After the test a tab must not have asked another host for anything, nor have a script error or any other error on its
console. An answer that is an error by intention is no such thing; other expected ones are named with `tab.expects`.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request

from tests.e2e.people import Person

HERE = Path(__file__).parent
AXE = HERE / "vendor" / "axe-core-4.14.1" / "axe.min.js"
SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", HERE.parents[1] / "build" / "screenshots"))
PATIENCE_MS = 60_000
# The size of targets is of WCAG 2.2, which axe leaves out unless asked.
RUN_AXE = "() => axe.run(document, {resultTypes: ['violations'], rules: {'target-size': {enabled: true}}})"
BROKEN_LABELS = """() => [...document.querySelectorAll(".stack [data-label]")].filter((cell) => {
    const label = getComputedStyle(cell, "::before");
    return parseFloat(label.height) > 1.9 * parseFloat(label.fontSize);
}).map((cell) => cell.dataset.label)"""
# Text that its own box cuts off, where no scrolling and no ellipsis shows that there is more.
CLIPPED = """() => [...document.querySelectorAll("body *")].filter((it) => {
    const style = getComputedStyle(it);
    const cut = ["hidden", "clip"].includes(style.overflowX) && it.scrollWidth > it.clientWidth + 1;
    if (!cut || it.clientWidth <= 1 || style.textOverflow === "ellipsis") return false;
    return it.checkVisibility() && it.innerText?.trim();
}).map((it) => it.outerHTML.slice(0, 120))"""
# Words that stick out of their button, heading, badge or link, and so over what is beside it.
STICKING_OUT = """() => [...document.querySelectorAll("button, .button, h1, h2, h3, .status, nav a, label, .chip")]
    .filter((it) => it.checkVisibility() && getComputedStyle(it).display !== "inline" && it.clientWidth > 1)
    .filter((it) => it.scrollWidth > it.clientWidth + 1 && getComputedStyle(it).overflowX === "visible")
    .map((it) => it.outerHTML.slice(0, 120))"""
# What has the focus, but lies behind something else with each of its nine points (WCAG 2.4.11).
HIDDEN_FOCUS = """() => {
    const open = document.querySelector("main :popover-open") ?? document;  // it may cover the rest
    const all = open.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]");
    const shares = [0.03, 0.5, 0.97];
    const seen = (it) => {
        it.focus();
        if (document.activeElement !== it) return true;
        const box = it.getBoundingClientRect(), labels = [...(it.labels ?? [])];
        return shares.some((x) => shares.some((y) => {
            const top = document.elementFromPoint(box.left + x * box.width, box.top + y * box.height);
            return top && (it.contains(top) || top.contains(it) || labels.some((one) => one.contains(top)));
        }));
    };
    const tabbed = [...all].filter((it) => it.tabIndex >= 0 && !it.disabled && it.checkVisibility());
    return tabbed.filter((it) => !seen(it)).map((it) => it.outerHTML.slice(0, 120));
}"""
WIDTHS = {360: 740, 1280: 800}
ZOOMED = {"width": 320, "height": 256}  # 1280 by 1024 at 400 %
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, Scheme] = ("light", "dark")
# Chromium writes every response of 400 and up to the console. The test itself checks whether it is right.
AN_ANSWER = re.compile(r"Failed to load resource: the server responded with a status of \d+")


class Tab:
    def __init__(
        self,
        browser: Browser,
        base_url: str,
        person: Person | None = None,
        *,
        script: bool = True,
        zone: str = "UTC",
        locale: str = "en-GB",
    ) -> None:
        self.base_url, self.complaints = base_url, []  # type: tuple[str, list[str]]
        self._expected: list[re.Pattern[str]] = [AN_ANSWER]
        self._visited = [base_url + "/"]
        self._has_clock = False
        self._context = browser.new_context(
            base_url=base_url,
            java_script_enabled=script,
            viewport={"width": 1280, "height": 800},
            locale=locale,
            timezone_id=zone,
            ignore_https_errors=True,  # because of the test's own certificate
        )
        self._context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self._context.new_page()
        self._context.on("request", self._saw_request)
        self._context.on("console", self._saw_console)
        self._context.on("weberror", lambda error: self.complaints.append(f"script error: {error.error}"))
        if person is not None:
            self.be(person)

    # --- navigation

    def be(self, person: Person) -> "Tab":
        """Log in as this person by setting their cookie, without the login page."""
        return self.plant("sluice_session", person.session_token)

    def plant(self, name: str, value: str) -> "Tab":
        """Set a cookie that no page of ours has set."""
        cookie = {"name": name, "value": value, "url": self.base_url, "httpOnly": True, "sameSite": "Lax"}
        self._context.add_cookies([cookie])  # type: ignore[list-item]
        return self

    def go(self, path: str) -> int:
        """Open a path or a whole address. Returns the response's status."""
        answer = self.page.goto(path)
        assert answer is not None, path
        return answer.status

    def fill(self, **fields: str) -> "Tab":
        """Fill in fields by name, the first of each in the page's main part: `tab.fill(email="…", password="…")`."""
        for name, text in fields.items():
            self.page.locator(f'main [name="{name}"]').first.fill(text)
        return self

    def press(self, text: str) -> "Tab":
        """Press a button or link with this whole text, and wait for the page that it leads to."""
        found = next((thing for thing in self._named(text) if thing.count()), None)
        assert found is not None, f"nothing to press is called {text!r} on {self.path}:\n{self.text}"
        with self.page.expect_navigation():
            found.first.click()
        return self

    def _named(self, text: str) -> Iterator[Locator]:
        """Finds a form's button before a link with the same text, and the page's main part before its header."""
        for part in (self.page.locator("main"), self.page.locator("header")):
            yield part.get_by_role("button", name=text, exact=True)
            yield part.get_by_role("link", name=text, exact=True)

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.base_url)

    @property
    def heading(self) -> str:
        return self.page.locator("h1").first.inner_text()

    @property
    def text(self) -> str:
        return self.page.locator("body").inner_text()

    def cookies(self) -> dict[str, Any]:
        return {cookie["name"]: cookie for cookie in self._context.cookies()}  # type: ignore[typeddict-item]

    def close(self) -> None:
        self._context.close()

    @contextmanager
    def timers_wait(self) -> Iterator[None]:
        """Inside the block no timer of the page fires: what it shows for two seconds stays until a slow test has seen
        it."""
        if not self._has_clock:
            self.page.clock.install()
            self._has_clock = True
        self.page.clock.pause_at(self.page.evaluate("() => Date.now()") / 1000 + 3600)
        yield
        self.page.clock.resume()

    # --- complaints

    def visits(self, origin: str) -> "Tab":
        """Name another site, to which a page leads on purpose."""
        self._visited.append(origin + "/")
        return self

    def expects(self, pattern: str) -> "Tab":
        """Name an expected error on the console."""
        self._expected.append(re.compile(pattern))
        return self

    def _saw_request(self, request: Request) -> None:
        if not request.url.startswith((*self._visited, "data:", "blob:", "about:")):
            self.complaints.append(f"asked another host: {request.method} {request.url}")

    def _saw_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(pattern.search(message.text) for pattern in self._expected):
            self.complaints.append(f"console: {message.text}")

    # --- checks of the shown page

    def check(self, name: str) -> None:
        """Check the page in both widths and both colour schemes, and zoomed. `name` is the name of the screenshots."""
        assert self.page.title().endswith("Sluice") and self.page.locator("h1").count() == 1, self.page.title()
        for width, height in WIDTHS.items():
            self.resize({"width": width, "height": height})
            self._fits(name, width)
            for scheme in SCHEMES:
                self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                self.shoot(f"{name}-{width}-{scheme}")
                if (width, scheme) in ((1280, "light"), (360, "dark")):  # each layout and each set of colours once
                    self.accessible(f"{name} at {width} px, {scheme}")
        self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        self.zoomed(name)

    def zoomed(self, name: str) -> None:
        """At 400 % nothing scrolls sideways or is cut off, and what has the focus can be seen."""
        before = self.page.viewport_size
        self.resize(ZOOMED)
        self._fits(f"{name} at 400 %", ZOOMED["width"])
        hidden = self.page.evaluate(HIDDEN_FOCUS)
        assert not hidden, f"behind something else with the focus on {name}: {hidden}"
        assert before is not None
        self.page.set_viewport_size(before)

    def narrow(self, name: str) -> None:
        """On a phone nothing is cut off, nor sticks out of its place."""
        self.resize({"width": 360, "height": WIDTHS[360]})
        self._fits(name, 360)
        sticking_out = self.page.evaluate(STICKING_OUT)
        assert not sticking_out, f"sticks out of its place on {name}: {sticking_out}"

    def resize(self, size: dict[str, int]) -> None:
        """Show the page in another size, and wait until it is drawn so: plots follow a frame later."""
        self.page.set_viewport_size(size)  # type: ignore[arg-type]
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def shoot(self, name: str, *, whole: bool = True) -> Path:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        file = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=file, full_page=whole, animations="disabled")
        return file

    def accessible(self, what: str) -> None:
        """axe finds nothing: neither its rules of WCAG 2.2 A and AA nor those of best practice."""
        self.page.evaluate(_axe())
        found = self.page.evaluate(RUN_AXE)["violations"]
        assert not found, f"axe on {what}: {json.dumps([_in_short(one) for one in found], indent=1)}"

    def _fits(self, name: str, width: int) -> None:
        wide = self.page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} px wide in a window of {width}: it scrolls sideways"
        clipped = self.page.evaluate(CLIPPED)
        assert not clipped, f"cut off on {name} at {width} px: {clipped}"
        broken = self.page.evaluate(BROKEN_LABELS)
        assert not broken, f"labels of {name} break at {width} px: {broken}"


@cache
def _axe() -> str:
    return AXE.read_text() + "\n;undefined"


def _in_short(violation: dict[str, Any]) -> dict[str, Any]:
    where = [f"{node['target']}: {node['html'][:200]}" for node in violation["nodes"][:5]]
    return {"rule": violation["id"], "impact": violation["impact"], "help": violation["help"], "where": where}
