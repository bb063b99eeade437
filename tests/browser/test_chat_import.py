"""A downloaded chat is imported by clicking; its answers have ordered headings and marks of their sources."""

import json
from pathlib import Path

import pytest

from tests.browser.conftest import NewTab
from tests.browser.stage import Model, Stage
from tests.browser.test_playground import said

ANSWER = """## Where

Tea grows on hills [1], in the rain [2][1], not at sea [7]; `a[1]` is code.

#### When

In March.

# Last
"""
PASSAGES = [
    {"file_id": f"file_01ARZ3NDEKTSV4RRFFQ69G5FA{at}", "filename": name, "position": at}
    for at, name in enumerate(("tea.md", "<b>rain</b>.txt"))
]
QUESTION = {"id": "a", "parent_id": None, "role": "user", "content": "Where does tea grow?"}
EXPORT = {
    "title": "Tea",
    "messages": [
        QUESTION,
        {"id": "c", "parent_id": "a", "role": "assistant", "content": ANSWER, "citations": PASSAGES},
    ],
    "other_messages": [{"id": "b", "parent_id": "a", "role": "assistant", "content": "Nowhere."}],
}


@pytest.mark.parametrize("script", [True, False])
def test_a_downloaded_chat_is_imported(stage: Stage, new_tab: NewTab, tmp_path: Path, script: bool) -> None:
    (tmp_path / "chat.json").write_text(json.dumps(EXPORT))
    person, _ = stage.person()
    tab = new_tab(person, script=script, at=stage.url)
    tab.go("/my/chats")
    tab.page.get_by_role("button", name="Import a chat").click()
    if script:
        tab.shoot("chat-import")
        tab.accessible("the sheet of an import")
    tab.page.set_input_files("#chat-file", tmp_path / "chat.json")
    tab.press("Import chat")
    assert tab.heading == "Tea" and len(said(tab)) == 2
    tab.page.get_by_role("button", name="Previous answer").click()
    tab.page.locator(".said", has_text="Nowhere.").wait_for()
    tab.page.locator(".more").last.click()
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Download as JSON").click()
    tab.go("/my/chats")
    tab.page.get_by_role("button", name="Import a chat").click()
    tab.page.set_input_files("#chat-file", download.value.path())
    tab.press("Import chat")
    assert [words for _, words in said(tab)] == ["Where does tea grow?", "Nowhere."]


def test_the_marks_of_an_answer_lead_to_its_sources_and_its_headings_have_no_gap(
    stage: Stage, new_tab: NewTab, tmp_path: Path
) -> None:
    (tmp_path / "chat.json").write_text(json.dumps(EXPORT))
    person, _ = stage.person()
    tab = new_tab(person, at=stage.url)
    tab.go("/my/chats")
    tab.page.get_by_role("button", name="Import a chat").click()
    tab.page.set_input_files("#chat-file", tmp_path / "chat.json")
    tab.press("Import chat")
    answer = tab.page.locator(".turn.assistant .said")
    marks = answer.locator("a")
    assert [mark.get_attribute("title") for mark in marks.all()] == [
        "tea.md, passage 1",
        "<b>rain</b>.txt, passage 2",
        "tea.md, passage 1",
    ]
    assert "[7]" in answer.inner_text() and answer.locator("code").inner_text() == "a[1]"
    levels = "all => all.map((it) => it.localName + ' ' + it.textContent)"
    assert answer.locator("h3, h4, h5, h6").evaluate_all(levels) == ["h3 Where", "h4 When", "h3 Last"]
    tab.check("chat-sources")
    marks.nth(1).focus()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/my/documents/file_01ARZ3NDEKTSV4RRFFQ69G5FA1#passage-1")


def test_the_landing_pages_question_stands_in_the_box_and_is_not_sent(stage: Stage, new_tab: NewTab) -> None:
    model: Model = stage.model
    model.asked.clear()
    person, _ = stage.person()
    tab = new_tab(person, at=stage.url)
    tab.go("/")
    tab.check("landing-member")
    tab.press("Try this in the playground")
    box = tab.page.locator("#content")
    assert box.input_value() == "What is the capital of France?" and said(tab) == [] and not model.asked
    box.press("Enter")
    tab.page.locator(".turn.assistant .said", has_text="Paris.").wait_for()
    tab.go("/my/chats?ask=%3C/textarea%3E%3Cb%3Ex")
    assert box.input_value() == "</textarea><b>x"
