"""Files of a chat, without JavaScript: attached, searched by this chat only, removed; they stay documents."""

import pytest

from sluice.domain.accounts.account import Account
from tests.integration.documents.api.conftest import BOUNDARY, TEA, Library, logged_in, multipart
from tests.integration.documents.api.test_page import read
from tests.integration.pages.browser import OWN, Browser, Page

QUESTION = "Where is tea grown?"
HILLS = TEA.split("\n\n")[0]


def attach(browser: Browser, page: Page, text: str = TEA, name: str = "tea.txt") -> Page:
    """With the form at the composer."""
    form = next(form for form in page.forms if form.action.endswith("/files"))
    data = multipart({"form_token": form.fields["form_token"]}, name, text.encode())
    with browser.client.post(
        form.action, data=data, content_type=f"multipart/form-data; boundary={BOUNDARY}", headers=OWN
    ) as answer:
        if answer.status_code != 303:
            return Page(answer)  # type: ignore[arg-type]
        return browser.get(answer.headers["Location"].partition("#")[0])


def path_of(page: Page) -> str:
    return next(form.action for form in page.forms if form.action.endswith("/files")).removesuffix("/files")


def say(browser: Browser, page: Page, content: str = QUESTION) -> Page:
    path = path_of(page)
    fields = {"form_token": page.forms[0].fields["form_token"], "content": content}
    assert browser.post(path + "/messages", fields).status == 303
    return browser.get(path)


def test_a_file_begins_a_chat_and_its_answers_are_looked_for_in_it(
    library: Library, member: Browser, ann: Account
) -> None:
    page = attach(member, member.get("/my/chats"))
    assert "tea.txt" in page.text and "reading…" in page.text and page.text.startswith("New chat")
    attach(member, member.get("/my/chats"), "Coffee is grown on hills in Ethiopia.", "coffee.txt")
    read(ann)
    page = say(member, member.get(path_of(page)))
    assert "ready" in page.text and "tea.txt, passage 1" in page.text and "coffee.txt, passage" not in page.text
    asked = str(library.upstream.calls[-1].body["messages"])
    assert HILLS in asked and "Ethiopia" not in asked
    switch = [has for tag, has in page.tags if has.get("name") == "retrieval"]
    assert "checked" not in switch[0]  # it would answer from all documents, and from nothing else
    begun = member.post("/my/chats", member.get("/my/chats").form("/logout").fields)
    say(member, member.get(begun.answer.headers["Location"]))
    assert HILLS not in str(library.upstream.calls[-1].body["messages"])


def test_a_file_taken_out_stays_a_document(library: Library, member: Browser, ann: Account) -> None:
    page = attach(member, member.get("/my/chats"))
    read(ann)
    page = member.submit(page, next(form.action for form in page.forms if form.action.endswith("/remove")))
    assert "tea.txt" in member.get("/my/documents").text
    assert not [form for form in page.forms if form.action.endswith("/remove")]
    say(member, page)
    assert HILLS not in str(library.upstream.calls[-1].body["messages"])


def test_a_deleted_document_and_a_deleted_chat_leave_each_other(member: Browser, ann: Account) -> None:
    page = attach(member, attach(member, member.get("/my/chats")), "More.", "more.txt")
    link = next(link for link in page.links if "/my/documents/file_" in link)
    member.submit(member.get(link), link + "/delete")
    page = member.get(path_of(page))
    assert len([form for form in page.forms if form.action.endswith("/remove")]) == 1
    form = {"form_token": page.forms[0].fields["form_token"]}
    assert member.post(path_of(page) + "/delete", form).status == 303
    assert "more.txt" in member.get("/my/documents").text


def test_at_most_ten_files_and_none_too_large(member: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.domain.chats.chat.MOST_FILES", 1)
    page = attach(member, member.get("/my/chats"))
    refused = attach(member, page, "More.", "more.txt")
    assert refused.status == 409 and "at most 1 files" in refused.text
    assert "more.txt" not in member.get("/my/documents").text
    monkeypatch.setattr("sluice.http.documents.files.MAX_FILE_BYTES", 100)
    large = attach(member, member.get(path_of(page)), "x" * 101)
    assert "A file may have 4 MiB at most" in large.text


def test_another_accounts_chat_takes_no_file(library: Library, member: Browser) -> None:
    page = attach(member, member.get("/my/chats"))
    stranger = logged_in(library, library.world.account())
    token = stranger.get("/my/chats").forms[0].fields["form_token"]
    data = multipart({"form_token": token}, "x.txt", b"x")
    with stranger.client.post(
        path_of(page) + "/files", data=data, content_type=f"multipart/form-data; boundary={BOUNDARY}", headers=OWN
    ) as answer:
        assert answer.status_code == 404
    remove = next(form.action for form in page.forms if form.action.endswith("/remove"))
    assert stranger.post(remove, {"form_token": token}).status == 404
    assert "x.txt" not in stranger.get("/my/documents").text
