"""Branches and files of a chat by clicking, with and without scripts."""

from pathlib import Path

import pytest

from tests.browser.conftest import NewTab
from tests.browser.stage import Model, Stage
from tests.browser.tab import Tab
from tests.browser.test_playground import said, send, settled


@pytest.fixture
def model(stage: Stage) -> Model:
    stage.model.says("Paris.")
    stage.model.asked.clear()
    return stage.model


@pytest.fixture
def chat(stage: Stage, model: Model, new_tab: NewTab) -> Tab:
    person, _ = stage.person()
    tab = new_tab(person, at=stage.url)
    tab.go("/my/chats")
    return tab


def stepper(tab: Tab, text: str) -> None:
    tab.page.locator(".branches", has_text=text).wait_for()


def test_every_answer_and_every_wording_of_a_question_can_be_shown_again(chat: Tab, model: Model) -> None:
    send(chat, "Capital of France?")
    settled(chat)
    model.says("It is Paris, on the Seine.")
    chat.page.get_by_role("button", name="Answer again").click()
    chat.page.locator(".said", has_text="on the Seine").wait_for()
    stepper(chat, "Answer 2 of 2")
    chat.check("chat-branches")
    assert chat.page.get_by_role("button", name="Next answer").is_disabled()
    chat.page.get_by_role("button", name="Previous answer").focus()
    chat.page.keyboard.press("Enter")
    stepper(chat, "Answer 1 of 2")
    assert said(chat) == [("you", "Capital of France?"), ("model", "Paris.")]
    chat.page.locator(".edit summary").click()
    chat.page.get_by_label("Your message, changed").fill("Capital of Spain?")
    model.says("Madrid.")
    chat.page.get_by_role("button", name="Send edit").click()
    stepper(chat, "Question 2 of 2")
    settled(chat)
    chat.page.get_by_role("button", name="Previous question").click()
    stepper(chat, "Answer 2 of 2")  # the newest end of that branch
    assert said(chat)[0] == ("you", "Capital of France?")


def test_a_file_is_attached_beside_the_composer_and_taken_out(chat: Tab, stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "tea.txt"
    file.write_text("Tea is grown on hills in Darjeeling.")
    chat.page.fill("#content", "Where does tea grow?")
    with chat.page.expect_file_chooser() as chooser:
        chat.page.get_by_role("button", name="Attach a file").click()
    chooser.value.set_files(file)
    chat.page.locator("#files li", has_text="tea.txt").wait_for()  # of the chat that it began
    assert chat.page.locator("h1").inner_text() == "New chat" and chat.path.startswith("/my/chats/chat_")
    assert chat.page.input_value("#content") == "Where does tea grow?"
    chat.check("chat-files")
    other = tmp_path / "coffee with a rather long name that has to be wrapped somewhere.txt"
    other.write_text("Coffee.")
    chat.page.set_input_files("#file", other)
    chat.page.locator("#files li", has_text="coffee").wait_for()
    chat.page.get_by_role("button", name="Remove tea.txt from this chat").click()
    chat.page.locator("#files li", has_text="tea.txt").wait_for(state="detached")
    (tmp_path / "large.txt").write_text("x" * (4 * 1024 * 1024 + 1))
    chat.page.set_input_files("#file", tmp_path / "large.txt")
    chat.page.locator("#trouble", has_text="That file is too large").wait_for()


def test_a_hidden_tab_does_not_ask_after_a_file_that_is_read(chat: Tab, tmp_path: Path) -> None:
    file = tmp_path / "a_rather_long_name_of_a_report_about_tea.txt"
    file.write_text("Tea.")
    chat.page.set_input_files("#file", file)
    chat.page.locator("#files [data-reading]").wait_for()
    chat.page.evaluate("() => Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})")
    asked: list[str] = []
    chat.page.on("request", lambda request: asked.append(request.url))
    chat.page.wait_for_timeout(3_000)
    assert asked == []
    with chat.page.expect_request(lambda request: request.url.endswith(chat.path)):
        chat.page.evaluate("() => delete document.hidden")


def test_without_scripts_files_are_attached_and_branches_shown_by_forms(
    stage: Stage, model: Model, new_tab: NewTab, tmp_path: Path
) -> None:
    person, _ = stage.person()
    tab = new_tab(person, script=False, at=stage.url)
    tab.go("/my/chats")
    (tmp_path / "tea.txt").write_text("Tea.")
    tab.page.set_input_files("#file", tmp_path / "tea.txt")
    tab.page.get_by_role("button", name="Attach", exact=True).click()
    tab.page.locator("#files li", has_text="tea.txt").wait_for()
    tab.page.fill("#content", "Capital of France?")
    tab.page.click("#send")
    model.says("Still Paris.")
    tab.page.get_by_role("button", name="Answer again").click()
    tab.page.locator(".said", has_text="Still Paris.").wait_for()
    tab.page.get_by_role("button", name="Previous answer").click()
    tab.page.locator(".said", has_text="Paris.").wait_for()
    assert said(tab) == [("you", "Capital of France?"), ("model", "Paris.")]
    tab.shoot("chat-files-without-scripts")


def test_a_long_chat_says_where_the_model_begins_to_read(chat: Tab, stage: Stage) -> None:
    from dataclasses import replace

    from sluice.wiring import stores

    for question in ("first", "second", "third"):
        send(chat, question)
        chat.page.locator(".turn.user", has_text=question).wait_for()
        settled(chat)
    account_id = chat.page.evaluate("() => fetch('/account').then((it) => it.json()).then((it) => it.id)")
    chat_id = chat.path.rpartition("/")[2]
    last = stores.chat_store().messages(account_id, chat_id)[-1]
    for number, told in enumerate(({"prompt_tokens": 480}, {"left_out": 2})):
        stores.chat_store().add(
            account_id,
            chat_id,
            replace(last, message_id=f"msg_z{number}", context_tokens=512, **told),  # type: ignore[arg-type]
        )
        chat.page.reload()
        words = ("Soon its beginning is left out", "so its beginning is no longer sent")[number]
        chat.page.locator("#length", has_text=words).wait_for()
    assert chat.page.locator("#turns > li").nth(2).inner_text() == "Earlier messages are no longer sent to the model"
    chat.check("chat-long")
