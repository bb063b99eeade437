"""The chat's page for people who enlarge it, want no motion, use the keyboard or a screen reader, or write Arabic."""

import threading

from tests.browser.stage import Model
from tests.browser.tab import Tab
from tests.browser.test_playground import chat, model, send, settled, stage  # noqa: F401 (fixtures)

REDUCED = "() => getComputedStyle(document.querySelector('.running .assistant:last-child .said > *'), '::after').animationName"


def test_a_reader_who_wants_no_motion_sees_none(chat: Tab, model: Model) -> None:  # noqa: F811
    end = threading.Event()
    model.says("The capital ", end)
    send(chat, "Capital of France?")
    chat.page.locator(".running .said > p").wait_for()
    moving = chat.page.evaluate(REDUCED)
    chat.page.emulate_media(reduced_motion="reduce")
    assert (moving, chat.page.evaluate(REDUCED)) == ("breathe", "none")
    end.set()
    settled(chat)
