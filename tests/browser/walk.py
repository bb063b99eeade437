"""What every page must do: be reached and left by the keyboard, have a name for each control, stay still, be light.

with Measure(tab) as measure:   # counts what the page loads
    tab.go("/my/tokens")
measure.check()
by_keyboard(tab); named(tab); still(tab)
"""

from types import TracebackType

from tests.browser.tab import Tab

MOST_BYTES = 250 * 1024
MOST_SENT_OF_DOCS = 300_000  # /docs has every call of the API, and much that repeats
# Roles of the accessibility tree that a screen reader reads by their name.
NAMED = {"button", "link", "textbox", "searchbox", "combobox", "listbox", "checkbox", "radio", "spinbutton", "Date",
         "DateTime", "tab", "menuitem", "meter", "progressbar", "img", "image", "dialog", "slider", "switch",
         "DisclosureTriangle", "navigation", "region"}  # fmt: skip
# What Tab reaches, and what each looked like when it had the focus. Of a group of radio buttons it reaches one.
WATCH = """() => {
    const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")];
    const groups = new Set();
    window.waiting = new Set(all.filter((it) => {
        if (it.disabled || it.tabIndex < 0 || it.type === "hidden" || !it.checkVisibility({visibilityProperty: true}))
            return false;
        if (it.type !== "radio") return true;
        const isFirst = !groups.has(it.name);
        groups.add(it.name);
        return isFirst;
    }));
    window.unseen = [];
    document.addEventListener("focusin", ({target}) => {
        const radio = target.type === "radio" && [...waiting].find((it) => it.name === target.name);
        waiting.delete(radio || target);
        const ring = getComputedStyle(target);
        const isRound = (style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        const around = target.labels?.[0] ?? target, box = target.closest("form") ?? target;
        const isSeen = [ring, getComputedStyle(around), getComputedStyle(box)].some(isRound);
        if (!isSeen) unseen.push(target.outerHTML.slice(0, 120));
    });
    document.activeElement?.blur?.();
    getSelection().collapse(document.body, 0);
    return waiting.size;
}"""

LEFT = "() => [...waiting].filter((it) => it.isConnected).map((it) => it.outerHTML.slice(0, 120))"  # some are replaced


class Measure:
    """What a page loads, by the DevTools protocol: its files as they are (`bytes`), and on the wire with headers, where
    the server compresses them (`sent`)."""

    def __init__(self, tab: Tab) -> None:
        self._tab, self.bytes, self.sent = tab, 0, 0

    def __enter__(self) -> "Measure":
        self._devtools = self._tab.page.context.new_cdp_session(self._tab.page)
        self._devtools.send("Network.enable")
        self._devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
        self._devtools.on("Network.dataReceived", lambda event: self._count(bytes=event["dataLength"]))
        self._devtools.on("Network.loadingFinished", lambda event: self._count(sent=event["encodedDataLength"]))
        return self

    def _count(self, bytes: int = 0, sent: float = 0) -> None:
        self.bytes += bytes
        self.sent += int(sent)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._devtools.detach()

    def check(self, name: str) -> None:
        timing = self._tab.page.evaluate("() => performance.getEntriesByType('navigation')[0].toJSON()")
        times = f"interactive {timing['domInteractive']:.0f} ms, loaded {timing['loadEventEnd']:.0f} ms"
        print(f"{name}: {self.bytes / 1024:.0f} KiB, {self.sent / 1024:.0f} KiB on the wire, {times}")
        assert self.bytes, f"nothing of {name} was counted"
        is_light = self.sent <= MOST_SENT_OF_DOCS if name == "/docs" else self.bytes <= MOST_BYTES
        assert is_light, f"{name} loads {self.bytes / 1024:.0f} KiB, {self.sent / 1024:.0f} KiB on the wire"


def by_keyboard(tab: Tab, name: str) -> None:
    """Tab reaches each control, shows where it is, and is trapped nowhere."""
    waiting = tab.page.evaluate(WATCH)
    for pressed in range(2 * waiting + 20):  # a date has a stop for each part of it
        tab.page.keyboard.press("Tab")
        if pressed >= waiting - 1 and not tab.page.evaluate(LEFT):
            break
    left = tab.page.evaluate(LEFT)
    assert not left, f"Tab does not reach these of {name}: {left}"
    unseen = tab.page.evaluate("() => unseen")
    assert not unseen, f"the focus is not seen on these of {name}: {unseen}"


def named(tab: Tab, name: str) -> None:
    """Each control and each picture has a name for a screen reader."""
    devtools = tab.page.context.new_cdp_session(tab.page)
    nodes = devtools.send("Accessibility.getFullAXTree")["nodes"]
    devtools.detach()
    nameless = [
        f"{node['role']['value']} {node.get('description', {}).get('value', '')}"
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in NAMED and not node.get("name", {}).get("value", "").strip()
    ]
    assert not nameless, f"without a name on {name}: {nameless}"


def still(tab: Tab, name: str) -> None:
    """For a reader who asks for less motion nothing moves."""
    moving = tab.page.evaluate("() => document.getAnimations().map((it) => it.animationName ?? it.transitionProperty)")
    assert not moving, f"{name} moves: {moving}"
