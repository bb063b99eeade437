"""What a chat's page does not lose: words in the box, an answer that is coming, a question beside another tab's."""

import threading
import time
from dataclasses import replace

from sluice.domain.chats.chat import ChatMessage, message_id
from tests.browser.conftest import NewTab
from tests.browser.stage import Model, Stage
from tests.browser.tab import Tab
from tests.browser.test_playground import chat, model, said, send, settled, state  # noqa: F401 (fixtures)
from tests.integration.accounts.world import PASSWORD


def test_words_in_the_box_outlive_a_reload_and_the_end_of_the_session(stage: Stage, new_tab: NewTab) -> None:
    person, _ = stage.person("ann@example.com")
    tab = new_tab(person, at=stage.url)
    tab.go("/my/chats")
    send(tab, "Capital of France?")
    settled(tab)
    there = tab.path
    tab.page.fill("#content", "And of Spain?")
    tab.page.reload()
    assert tab.page.input_value("#content") == "And of Spain?"
    tab.go("/my/chats")
    assert tab.page.input_value("#content") == ""  # each chat has its own
    tab.go(there)
    tab.page.context.clear_cookies()
    tab.page.focus("#content")
    tab.page.keyboard.type(" And why?")
    tab.page.keyboard.press("Enter")
    tab.page.locator("#trouble a").wait_for()
    tab.press("Log in again")
    tab.fill(email="ann@example.com", password=PASSWORD).press("Log in")
    assert (tab.path, tab.page.input_value("#content")) == (there, "And of Spain? And why?")
    tab.page.context.clear_cookies()
    tab.be(stage.person()[0]).go("/my/chats")  # another person at the same browser
    assert tab.page.input_value("#content") == ""


def test_after_a_reload_the_page_waits_for_the_answer(chat: Tab, model: Model) -> None:  # noqa: F811
    from sluice.wiring import stores

    send(chat, "Capital of France?")
    settled(chat)
    account_id = chat.page.evaluate("() => fetch('/account').then((it) => it.json()).then((it) => it.id)")
    chat_id, now_ms = chat.path.rpartition("/")[2], time.time_ns() // 1_000_000
    last = stores.chat_store().messages(account_id, chat_id)[-1]
    asked = ChatMessage(message_id(now_ms), "user", "And of Spain?", now_ms, parent_id=last.message_id)
    found = stores.chat_store().get(account_id, chat_id)
    assert found
    stores.chat_store().change(account_id, found.chat_id, {"shown": asked.message_id})
    stores.chat_store().add(account_id, chat_id, asked)
    chat.page.reload()
    state(chat, "Still being answered…")
    assert chat.page.get_by_role("button", name="Ask again").is_hidden()
    chat.shoot("chat-awaited")
    answer = replace(last, message_id=message_id(now_ms + 1), content="Madrid.", parent_id=asked.message_id)
    stores.chat_store().add(account_id, chat_id, answer)
    chat.page.locator(".said", has_text="Madrid.").wait_for()
    assert [words for _, words in said(chat)][2:] == ["And of Spain?", "Madrid."]
    assert chat.page.locator("#state").inner_text() == ""


def test_a_chat_that_went_on_in_another_tab_says_so(
    stage: Stage,
    model: Model,  # noqa: F811
    new_tab: NewTab,
) -> None:
    person, _ = stage.person()
    one, other = new_tab(person, at=stage.url), new_tab(person, at=stage.url)
    one.go("/my/chats")
    send(one, "Capital of France?")
    settled(one)
    other.go(one.path)
    end = threading.Event()
    model.says("It has ", end, "two million people.")
    send(one, "How many people?")
    one.page.locator(".said", has_text="It has").wait_for()
    model.says("Madrid.")
    other.page.locator(".edit summary").first.click()
    other.page.locator(".edit textarea").first.fill("Capital of Spain?")
    other.page.keyboard.press("Enter")
    settled(other)
    end.set()
    one.page.locator("#toast", has_text="This chat was continued elsewhere; your question is kept").wait_for()
    assert [words for _, words in said(one)] == ["Capital of Spain?", "Madrid."]
