"""The chat's page for people who enlarge it, want no motion, use the keyboard or a screen reader, or write Arabic."""

import re
import threading

import pytest

from tests.browser.conftest import NewTab
from tests.browser.stage import Model, Stage, Thought
from tests.browser.tab import Tab
from tests.browser.test_playground import chat, model, send, settled, state  # noqa: F401 (fixtures)

FOR_A_WHILE = re.compile(r"^Thought for \d")
MOTION = "() => getComputedStyle(document.querySelector('.running .said > p'), '::after').animationName"


def test_a_reader_who_wants_no_motion_sees_none(chat: Tab, model: Model) -> None:  # noqa: F811
    end = threading.Event()
    model.says("The capital ", end)
    send(chat, "Capital of France?")
    chat.page.locator(".running .said > p").wait_for()
    moving = chat.page.evaluate(MOTION)
    chat.page.emulate_media(reduced_motion="reduce")
    assert (moving, chat.page.evaluate(MOTION)) == ("breathe", "none")
    end.set()
    settled(chat)


def test_a_table_of_an_answer_keeps_its_alignment_and_the_policy(chat: Tab, model: Model) -> None:  # noqa: F811
    """The tab's own check fails for an inline style, which the policy would refuse on the console."""
    model.says("| a | b | c | d |\n", "| - | :-: | --: | :-- |\n", "| 1 | 2 | 3 | 4 |\n")
    send(chat, "A table")
    settled(chat)
    for _ in range(2):
        cells = chat.page.locator(".said th, .said td")
        aligned = cells.evaluate_all("(all) => all.map((it) => getComputedStyle(it).textAlign)")
        assert aligned == ["start", "center", "right", "left"] * 2
        assert chat.page.locator(".said [style]").count() == 0
        chat.page.reload()


HEAR = """() => {
  window.heard = [];
  const spoken = document.getElementById("spoken");
  new MutationObserver(() => heard.push(spoken.textContent)).observe(spoken, {childList: true});
}"""


def test_a_screen_reader_hears_an_answer_once_and_finds_it_once(chat: Tab) -> None:  # noqa: F811
    chat.page.evaluate(HEAR)
    send(chat, "Capital of France?")
    settled(chat)
    chat.page.wait_for_function("() => heard.length > 1")
    assert chat.page.evaluate("() => heard.map((it) => it.trim())") == ["The capital of France is Paris.", ""]


ARABIC = "عاصمة فرنسا هي باريس."
SIDES = """(all) => all.map((it) => {
  const range = document.createRange();
  range.selectNodeContents(it);
  const [text, box] = [range.getBoundingClientRect(), it.getBoundingClientRect()];
  return text.left - box.left < box.right - text.right ? "left" : "right";
})"""


def test_arabic_is_written_from_the_right_everywhere_in_the_chat(chat: Tab, model: Model) -> None:  # noqa: F811
    model.says(f"{ARABIC}\n\n", "Paris.\n\n", f"# {ARABIC}\n\n```\nx = 1\n```\n")
    chat.page.fill("#content", ARABIC)
    assert chat.page.evaluate("() => getComputedStyle(document.getElementById('content')).direction") == "rtl"
    chat.page.keyboard.press("Enter")
    settled(chat)
    for _ in range(2):
        parts = ", ".join(["#chat-title", ".user .said", *(f".formatted {tag}" for tag in ("p", "h3", "pre"))])
        sides = chat.page.locator(parts).evaluate_all(SIDES)
        assert sides == ["right", "right", "right", "left", "right", "left"]
        chat.page.reload()
    for box in ("title", "system", "content"):
        assert chat.page.locator(f'[name="{box}"][dir="auto"]').count() >= 1
    chat.check("playground-arabic")


BEHIND = """() => {
  const seen = document.activeElement.getBoundingClientRect(), composer = document.querySelector(".composer");
  return seen.top < 0 || seen.bottom > Math.min(innerHeight, composer.getBoundingClientRect().top);
}"""
END = "() => document.querySelector('#turns > li:last-child').getBoundingClientRect().bottom"


@pytest.mark.parametrize(("width", "height"), [(320, 256), (640, 450), (390, 430)])
def test_the_composer_does_not_cover_a_low_window(chat: Tab, model: Model, width: int, height: int) -> None:  # noqa: F811
    """320 x 256 is what 400 % zoom leaves of 1280 x 1024; 390 x 430 a phone with its keyboard."""
    model.says(*[f"Line {number}.\n\n" for number in range(20)])
    chat.page.set_viewport_size({"width": width, "height": height})
    send(chat, "Many lines")
    settled(chat)
    assert 0 < chat.page.evaluate(END) <= height + 1  # the page follows the answer, not the composer
    chat.page.locator(".said > p").nth(9).scroll_into_view_if_needed()
    assert chat.page.locator(".composer").bounding_box()["y"] >= height  # type: ignore[index]
    assert chat.page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_what_the_keyboard_reaches_is_never_behind_the_composer(chat: Tab, model: Model) -> None:  # noqa: F811
    model.says("[one](https://example.com)\n\n", *[f"[{number}](https://example.com)\n\n" for number in range(20)])
    send(chat, "Many links")
    settled(chat)
    chat.page.evaluate("() => { scrollTo(0, 0); document.querySelector('.edit summary').focus() }")
    for _ in range(23):  # to "Answer again"
        assert not chat.page.evaluate(BEHIND), chat.page.evaluate("() => document.activeElement.outerHTML")
        chat.page.keyboard.press("Tab")


FOCUS = "() => document.activeElement.id || document.activeElement.tagName"


def test_a_chat_is_stored_with_its_first_message_and_its_box_has_the_focus(chat: Tab) -> None:  # noqa: F811
    for _ in range(2):
        assert chat.page.evaluate(FOCUS) == "content" and chat.path == "/my/chats"
        chat.press("New chat")
    assert chat.page.locator("#chat-list li").count() == 0
    send(chat, "Capital of France?")
    settled(chat)
    first = chat.path
    assert first.startswith("/my/chats/chat_") and chat.page.locator("#chat-list li").count() == 1
    chat.page.reload()
    assert chat.path == first and chat.page.locator(".user .said").inner_text() == "Capital of France?"


def test_esc_stops_an_answer_and_edit_leads_into_its_box(chat: Tab, model: Model) -> None:  # noqa: F811
    model.says("The capital ", threading.Event(), "never said")
    send(chat, "Capital of France?")
    chat.page.get_by_text("The capital", exact=True).wait_for()
    chat.page.click("#chosen")
    chat.page.keyboard.press("Escape")  # closes what is open, and nothing else
    assert chat.page.locator("#settings").is_hidden() and chat.page.locator("#stop").is_visible()
    chat.page.keyboard.press("Escape")
    state(chat, "Stopped. The partial answer was saved.")
    settled(chat)
    chat.page.keyboard.press("Escape")  # nothing runs, so nothing happens
    chat.page.locator(".edit summary").focus()
    chat.page.keyboard.press("Enter")
    chat.page.wait_for_function("() => document.activeElement.id.startsWith('edit-')")
    chat.page.keyboard.type(" Or not?")
    chat.page.keyboard.press("Escape")  # drops the changes
    chat.page.keyboard.press("Enter")
    chat.page.wait_for_function("() => document.activeElement.value === 'Capital of France?'")
    chat.page.keyboard.press("ControlOrMeta+A")
    chat.page.keyboard.type("Capital of Spain?")
    model.says("Madrid.")
    chat.page.keyboard.press("Shift+Enter")
    chat.page.keyboard.press("Backspace")
    chat.page.keyboard.press("Enter")
    chat.page.locator(".said", has_text="Madrid.").wait_for()
    settled(chat)
    assert chat.page.locator(".user .said").inner_text() == "Capital of Spain?"


def test_a_wait_counts_down(chat: Tab) -> None:  # noqa: F811
    refusal = {"status": 429, "headers": {"Retry-After": "119"}, "json": {"detail": "Too much."}}
    chat.page.route("**/messages", lambda route: route.fulfill(**refusal))  # type: ignore[arg-type]
    chat.page.clock.install()
    send(chat, "Capital of France?")
    trouble = chat.page.locator("#trouble")
    trouble.get_by_text("Too much. You can send again in", exact=False).wait_for()
    chat.page.clock.run_for(60_000)
    left = chat.page.get_by_role("timer").inner_text()
    assert int(left.removeprefix("You can send again in ").removesuffix(" seconds.")) <= 59
    assert chat.page.locator("#send").is_disabled() and trouble.get_by_role("timer").get_attribute("aria-live") == "off"
    chat.page.clock.run_for(60_000)
    state(chat, "You can send again now.")
    assert trouble.inner_text() == "" and chat.page.locator("#send").is_enabled()


def test_only_the_conversation_scrolls_and_the_box_grows_with_its_text(chat: Tab, model: Model) -> None:  # noqa: F811
    model.says(*[f"Line {number}.\n\n" for number in range(40)])
    send(chat, "Many lines")
    settled(chat)
    sizes = "() => [document.documentElement.scrollHeight - innerHeight, document.getElementById('pane').scrollTop]"
    page_hidden, scrolled = chat.page.evaluate(sizes)
    assert page_hidden == 0 and scrolled > 500
    box = chat.page.locator("#content")
    low = box.bounding_box()["height"]  # type: ignore[index]
    box.fill("one\ntwo\nthree")
    assert low < 45 and box.bounding_box()["height"] > low + 40  # type: ignore[index]


def test_an_answer_is_copied_as_the_model_wrote_it(chat: Tab, model: Model) -> None:  # noqa: F811
    chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    model.says("**Paris** is it.")
    send(chat, "Capital of France?")
    settled(chat)
    with chat.timers_wait():
        chat.page.get_by_role("button", name="Copy answer").click()
        chat.page.locator("#toast", has_text="Copied").wait_for()
    assert chat.page.evaluate("() => navigator.clipboard.readText()") == "**Paris** is it."


def test_what_the_model_thinks_is_folded_above_its_answer(chat: Tab, model: Model) -> None:  # noqa: F811
    """While it streams, and as the page shows it after a reload."""
    go_on, end = threading.Event(), threading.Event()
    model.says(Thought("France? "), go_on, Thought("<b>Paris</b>."), "Paris", end, ".")
    send(chat, "Capital of France?")
    thought = chat.page.locator("#turns .thought")
    thought.get_by_text("Thinking…").wait_for()
    assert thought.locator(".thoughts").is_hidden()
    go_on.set()
    thought.get_by_text(FOR_A_WHILE).wait_for()
    end.set()
    settled(chat)
    for _ in range(2):
        thought.get_by_text(FOR_A_WHILE).click()
        assert thought.locator(".thoughts").inner_text() == "France? <b>Paris</b>."
        assert chat.page.locator(".assistant .said").inner_text() == "Paris."
        chat.page.reload()


WEIGHT = """() => ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
  .reduce((sum, it) => sum + it.decodedBodySize, 0) / 1024"""


def test_the_page_is_light_with_a_full_list_of_chats(stage: Stage, new_tab: NewTab) -> None:
    from sluice.wiring.chats import chats

    person, account_id = stage.person()
    for place in range(60):
        chats().create(account_id, {"title": f"{place} A title as long as most of them are, in a list"}, place)
    tab = new_tab(person, at=stage.url)
    tab.go("/my/chats")
    tab.page.locator("#chosen", has_text=re.compile("demo$")).wait_for()
    assert tab.page.locator(".chat-link").count() == 25 and tab.page.evaluate(WEIGHT) < 250
    page_hidden = "() => document.documentElement.scrollHeight - innerHeight"
    assert tab.page.evaluate(page_hidden) == 0  # the list scrolls in itself
