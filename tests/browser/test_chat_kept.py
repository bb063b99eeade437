"""What a chat's page does not lose: words in the box, an answer that is coming, a question beside another tab's."""

import threading

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


def test_an_answer_goes_on_when_the_page_is_reloaded_or_left(chat: Tab, model: Model) -> None:  # noqa: F811
    go_on, end = threading.Event(), threading.Event()
    model.says("The capital ", go_on, "of France ", end, "is **Paris**.")
    send(chat, "Capital of France?")
    chat.page.get_by_text("The capital", exact=True).wait_for()
    chat.page.reload()
    state(chat, "Still being answered…")
    chat.page.get_by_text("The capital", exact=True).wait_for()
    assert chat.page.get_by_role("button", name="Ask again").is_hidden()
    assert chat.page.locator("#stop").is_visible()
    chat.shoot("chat-goes-on")
    there = chat.path
    chat.go("/my/documents")
    go_on.set()
    chat.go(there)
    chat.page.get_by_text("The capital of France", exact=True).wait_for()
    end.set()
    settled(chat)
    assert said(chat) == [("you", "Capital of France?"), ("model", "The capital of France is Paris.")]
    assert chat.page.locator("#state").inner_text() == "" and len(model.asked) == 1
    assert "Stopped" not in chat.page.locator(".amounts:visible").inner_text()
    assert chat.page.locator("#send").is_enabled()


def test_an_answer_that_nobody_reads_is_there_on_return(chat: Tab, model: Model) -> None:  # noqa: F811
    end = threading.Event()
    model.says("The capital ", end, "is Paris.")
    send(chat, "Capital of France?")
    chat.page.get_by_text("The capital", exact=True).wait_for()
    there = chat.path
    chat.go("/my/documents")
    end.set()
    chat.go(there)
    settled(chat)
    assert said(chat) == [("you", "Capital of France?"), ("model", "The capital is Paris.")]


def test_a_second_window_shows_the_answer_that_is_running_and_both_end_with_it(
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
    go_on, end = threading.Event(), threading.Event()
    model.says("It has ", go_on, "two million ", end, "people.")
    send(one, "How many people?")
    one.page.locator(".said", has_text="It has").wait_for()
    send(other, "At once?")
    other.page.locator("#trouble", has_text="An answer is being written in this chat, in another window.").wait_for()
    other.page.locator(".said", has_text="It has").wait_for()
    assert other.page.input_value("#content") == "At once?"
    other.shoot("chat-runs-elsewhere")
    go_on.set()
    other.page.locator(".said", has_text="It has two million").wait_for()
    end.set()
    settled(one)
    settled(other)
    both = [("you", "How many people?"), ("model", "It has two million people.")]
    assert said(one)[2:] == said(other)[2:] == both
    state(other, "You can send again now.")
    assert other.page.locator("#trouble").inner_text() == "" and len(model.asked) == 2


def test_another_window_stops_the_answer(stage: Stage, model: Model, new_tab: NewTab) -> None:  # noqa: F811
    person, _ = stage.person()
    one, other = new_tab(person, at=stage.url), new_tab(person, at=stage.url)
    model.says("It has ", threading.Event(), "never said")
    one.go("/my/chats")
    send(one, "How many people?")
    one.page.locator(".said", has_text="It has").wait_for()
    other.go(one.path)
    other.page.locator(".said", has_text="It has").wait_for()
    other.page.click("#stop")
    state(one, "Stopped. The partial answer was saved.")
    for tab in (other, one):
        settled(tab)
        assert said(tab) == [("you", "How many people?"), ("model", "It has")]
        assert "Stopped" in tab.page.locator(".amounts:visible").inner_text()


def test_another_answer_is_awaited_in_place_of_the_one_before(chat: Tab, model: Model) -> None:  # noqa: F811
    send(chat, "Capital of France?")
    settled(chat)
    end = threading.Event()
    model.says("Still ", end, "Paris.")
    chat.page.get_by_role("button", name="Answer again").click()
    chat.page.locator(".said", has_text="Still").wait_for()
    chat.page.reload()
    chat.page.locator(".said", has_text="Still").wait_for()
    assert said(chat) == [("you", "Capital of France?"), ("model", "Still")]
    end.set()
    settled(chat)
    assert said(chat) == [("you", "Capital of France?"), ("model", "Still Paris.")]
