"""Documents by clicking: added, read, searched, asked in the playground, opened from a citation, deleted."""

from pathlib import Path

import pytest
from playwright.sync_api import Route

from tests.browser.conftest import Newcomer, NewTab
from tests.browser.tab import Tab

TEA = "# Tea\n\nOur tea is grown on the hills of Darjeeling.\n"
ATTACK = "# Harvest\n\nThe harvest <img src=x onerror=alert(1)><script>alert(2)</script> begins in March.\n"
NOTHING = "No relevant information was found in your documents."

HEAR = """() => {
  window.heard = [];
  const said = document.getElementById("said");
  new MutationObserver(() => heard.push(said.textContent)).observe(said, { childList: true });
}"""
DROP = """(sizes) => {
    const files = new DataTransfer();
    for (const [name, size] of Object.entries(sizes)) files.items.add(new File(["x ".repeat(size / 2)], name));
    for (const kind of ["dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: files }));
}"""


def add(tab: Tab, path: Path) -> None:
    tab.go("/my/documents")
    tab.page.set_input_files("#field-file", path)
    button = tab.page.get_by_role("button", name="Upload files")
    if button.is_visible():  # without scripts
        button.click()
    tab.page.get_by_text("Uploaded. Reading it now…").wait_for()


def wait_until_read(tab: Tab, name: str) -> None:
    """Reload until the documents are read, because the page has no script."""
    for _ in range(300):
        tab.go("/my/documents")
        row = tab.page.locator("tr", has_text=name)
        if "reading" not in row.inner_text():
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
    assert "No documents yet" in tab.text
    for path in files:
        add(tab, path)
    for path in files:
        wait_until_read(tab, path.name)
    if script:
        tab.check("documents")
    tab.fill(q="When does the harvest begin?")
    tab.press("Search")
    assert "begins in March." in tab.text and "relevance" in tab.text
    assert "harvest" in tab.page.locator("mark").all_inner_texts()
    if script:
        tab.check("documents-search")
    tab.press("harvest.md")
    assert "The harvest <img src=x onerror=alert(1)>" in tab.text, "what was written is text here"
    if script:
        tab.check("document")
    tab.page.get_by_role("button", name="Delete", exact=True).click()
    if script:
        tab.accessible("the question before a document is deleted")
    tab.press("Delete document")
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
    tab.page.get_by_role("list", name="From your documents").get_by_text("tea.md, passage 1").wait_for()
    tab.check("playground-cited")
    tab.press("tea.md, passage 1")
    assert tab.path.endswith("#passage-0") and "hills of Darjeeling" in tab.text
    tab.page.go_back()
    tab.page.check("input[name=retrieval]")
    tab.page.fill("#content", "Who wrote Faust?")
    tab.page.click("#send")
    tab.page.locator(".turn.assistant", has_text=NOTHING).wait_for()
    tab.page.locator(".turn.assistant", has_text="0 in · 0 out").wait_for()


def test_a_status_changes_by_itself_and_is_spoken(newcomer: Newcomer, new_tab: NewTab, tmp_path: Path) -> None:
    """And a sentence about a file that cannot be read leaves the table as wide as the page."""
    tab = new_tab(newcomer())
    broken, tea = tmp_path / f"{'minutes_of_the_meeting_' * 3}.zip", tmp_path / "tea.md"
    broken.write_bytes(b"PK\x03\x04 this is none")
    tea.write_text(TEA)
    tab.go("/my/documents")
    tab.page.evaluate(HEAR)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route) if route.request.method == "POST" else route.fallback()

    tab.page.route("**/my/documents", hold)
    tab.page.set_input_files("#field-file", [tea, broken])
    for number in range(2):
        while len(held) <= number:
            tab.page.wait_for_timeout(20)
        # the second is sent when the first is read: its row is ready before the page asks for it
        while number and "tea.md" in (text := tab.page.request.get(tab.page.url).text()) and "data-reading" in text:
            tab.page.wait_for_timeout(50)
        held[number].continue_()
    tab.page.get_by_text("2 files uploaded. Reading them now…").wait_for()
    tab.page.locator("tr", has_text="tea.md").get_by_text("ready", exact=True).wait_for()
    tab.page.locator("tr", has_text="minutes").get_by_text("couldn’t be read").wait_for()
    heard = tab.page.evaluate("heard")
    assert any("tea.md: ready" in said for said in heard), heard
    assert any("minutes" in said for said in heard), heard
    assert "This is a damaged DOCX file, or another kind of ZIP archive." in tab.text
    for width in (1280, 800):
        tab.page.set_viewport_size({"width": width, "height": 900})
        hidden = tab.page.locator(".scroll").evaluate("(it) => it.scrollWidth - it.clientWidth")
        assert hidden <= 0, f"{hidden} px of the table are out of sight at {width} px"
    tab.check("documents-not-read")


def test_dropped_files_have_a_row_each_with_progress_and_errors(
    newcomer: Newcomer, new_tab: NewTab, files: tuple[Path, Path]
) -> None:
    """Too large a file is not sent; the others are."""
    tab = new_tab(newcomer())
    tab.go("/my/documents")
    assert ".pdf" in str(tab.page.get_attribute("#field-file", "accept"))
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route) if route.request.method == "POST" else route.fallback()

    tab.page.route("**/my/documents", hold)
    tab.page.evaluate(DROP, {"big.txt": 6_000_000, "tea.txt": 3_000_000, "harvest.txt": 20})
    rows = tab.page.locator("#uploads li")
    assert rows.count() == 3
    assert rows.nth(1).locator("progress").get_attribute("aria-label") == "Uploading tea.txt"
    tab.accessible("documents while they upload")
    while not held:
        tab.page.wait_for_timeout(20)
    held[0].continue_()
    tab.page.get_by_label("Uploading harvest.txt").wait_for()
    while len(held) < 2:
        tab.page.wait_for_timeout(20)
    held[1].continue_()
    tab.page.get_by_text("2 files uploaded. Reading them now…").wait_for()
    assert rows.all_inner_texts() == ["big.txt\n5.7 MiB\n\nLarger than 4 MiB. Choose a smaller file, or a part of it."]
    assert len(held) == 2
    assert tab.page.locator("tbody th").all_inner_texts() == ["harvest.txt", "tea.txt"]
    tab.accessible("documents with a file that is too large")


def test_without_script_too_large_a_file_is_answered_in_the_form(
    newcomer: Newcomer, new_tab: NewTab, tmp_path: Path
) -> None:
    tab = new_tab(newcomer(), script=False)
    big = tmp_path / "big.txt"
    big.write_bytes(b"x" * 6_000_000)
    tab.go("/my/documents")
    tab.page.set_input_files("#field-file", big)
    tab.press("Upload files")
    assert "A file may have at most 4 MiB." in tab.text and tab.page.locator("#field-file").is_visible()
