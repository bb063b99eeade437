"""Documents by clicking: added, read, searched, asked in the playground, opened from a citation, deleted."""

from pathlib import Path

import pytest

from tests.browser.conftest import Newcomer, NewTab
from tests.browser.tab import Tab

TEA = "# Tea\n\nOur tea is grown on the hills of Darjeeling.\n"
ATTACK = "# Harvest\n\nThe harvest <img src=x onerror=alert(1)><script>alert(2)</script> begins in March.\n"
NOTHING = "No relevant information was found in your documents."


def add(tab: Tab, path: Path) -> None:
    tab.go("/my/documents")
    tab.page.set_input_files("#field-file", path)
    tab.press("Add it")


def wait_until_read(tab: Tab, name: str) -> None:
    """Reload until the documents are read, because the page has no script."""
    for _ in range(100):
        tab.go("/my/documents")
        row = tab.page.locator("tr", has_text=name)
        if "being read" not in row.inner_text():
            return
        tab.page.wait_for_timeout(200)
    raise AssertionError(tab.text)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    tea, harvest = tmp_path / "tea.md", tmp_path / "harvest.md"
    tea.write_text(TEA)
    harvest.write_text(ATTACK)
    return tea, harvest


@pytest.mark.parametrize("script", [True, False])
def test_a_document_is_added_searched_and_deleted(
    newcomer: Newcomer, new_tab: NewTab, files: tuple[Path, Path], script: bool
) -> None:
    tab = new_tab(newcomer(), script=script)
    tab.page.on("dialog", lambda dialog: tab.complaints.append(f"a dialog: {dialog.message}"))
    tab.go("/my/documents")
    assert "You have none yet." in tab.text
    for path in files:
        add(tab, path)
        assert "The document is here." in tab.text
    for path in files:
        wait_until_read(tab, path.name)
    if script:
        tab.check("documents")
    tab.fill(q="When does the harvest begin?")
    tab.press("Search")
    assert "begins in March." in tab.text and "score" in tab.text
    if script:
        tab.check("documents-search")
    tab.press("harvest.md")
    assert "The harvest <img src=x onerror=alert(1)>" in tab.text, "what was written is text here"
    if script:
        tab.check("document")
    tab.press("Delete it for good")
    assert "The document is deleted." in tab.text and "harvest.md" not in tab.text
    tab.fill(q="When does the harvest begin?")
    tab.press("Search")
    assert NOTHING in tab.text


def test_the_playground_answers_from_documents_and_its_citation_can_be_opened(
    newcomer: Newcomer, new_tab: NewTab, files: tuple[Path, Path]
) -> None:
    tab = new_tab(newcomer())
    add(tab, files[0])
    wait_until_read(tab, "tea.md")
    tab.go("/my/chats")
    tab.press("New chat")
    tab.page.check("input[name=retrieval]")
    tab.page.fill("#content", "Where is our tea grown?")
    tab.page.click("#send")
    cited = tab.page.locator("details.cited")
    cited.wait_for()
    assert cited.locator("summary").inner_text() == "From 1 passage of your documents"
    cited.locator("summary").click()
    tab.check("playground-cited")
    tab.press("tea.md, passage 1")
    assert tab.path.endswith("#passage-0") and "hills of Darjeeling" in tab.text
    tab.page.go_back()
    tab.page.check("input[name=retrieval]")
    tab.page.fill("#content", "Who wrote Faust?")
    tab.page.click("#send")
    tab.page.locator(".turn.assistant", has_text=NOTHING).wait_for()
    tab.page.locator(".turn.assistant", has_text="0 + 0 tokens").wait_for()
