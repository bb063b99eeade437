"""Files of chats do not get in each other's way, and a refused one leaves no chat."""

from typing import Any

import pytest

from sluice.domain.accounts.account import Account
from sluice.domain.errors import ContextLengthExceeded
from sluice.wiring.chats import chats
from tests.integration.documents.api.conftest import Library
from tests.integration.documents.api.test_chat_files import attach, path_of, say
from tests.integration.documents.api.test_page import read
from tests.integration.pages.browser import Browser, Page


def removable(page: Page) -> int:
    return len([form for form in page.forms if form.action.endswith("/remove")])


def test_files_of_the_same_name_are_kept_beside_each_other(member: Browser, ann: Account) -> None:
    one = attach(member, member.get("/my/chats"), "Tea of Monday.", "notes.txt")
    two = attach(member, member.get("/my/chats"), "Tea of Tuesday.", "notes.txt")
    again = attach(member, two, "Tea of Monday.", "notes.txt")
    assert removable(member.get(path_of(one))) == 1 and removable(again) == 2
    listed = member.get("/my/documents").text
    assert "notes (2).txt" in listed and "notes (3).txt" not in listed, "the same file again is one document"


def test_files_that_are_gone_take_no_room_in_a_chat(
    member: Browser, ann: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice.domain.chats.chat.MOST_FILES", 1)
    page = attach(member, member.get("/my/chats"))
    link = next(link for link in page.links if "/my/documents/file_" in link)
    member.submit(member.get(link), link + "/delete")
    page = attach(member, member.get(path_of(page)), "More.", "more.txt")
    assert page.status == 200 and removable(page) == 1


def test_a_refused_file_leaves_no_chat(member: Browser, ann: Account) -> None:
    attach(member, member.get("/my/chats"), "x" * 3_900_000, "a.txt")
    assert attach(member, member.get("/my/chats"), "y" * 3_900_000, "b.txt").status >= 400  # it may hold 6 MiB
    assert len(chats().page(ann.account_id, 50).chats) == 1


def test_a_chat_that_a_file_began_is_named_by_its_first_question(member: Browser, ann: Account) -> None:
    page = say(member, attach(member, member.get("/my/chats")))
    assert page.text.startswith("Where is tea grown?")


def test_old_turns_are_left_out_before_passages_and_one_search_serves_all_tries(
    library: Library, member: Browser, ann: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = attach(member, member.get("/my/chats"), "Tea is grown on hills. " * 8)
    read(ann)
    library.upstream.context_window = None
    for number in range(4):
        page = say(member, member.get(path_of(page)), f"Where is tea grown? {number} " + "x" * 400)
    opened = library.upstream.open

    def open_(call: Any) -> Any:
        if sum(len(one["content"]) for one in call.body["messages"]) > 1_500:
            raise ContextLengthExceeded()
        return opened(call)

    monkeypatch.setattr(library.upstream, "open", open_)
    searches = len(library.search.asked)
    say(member, member.get(path_of(page)))
    sent = library.upstream.calls[-1].body["messages"]
    assert "grown on hills" in str(sent) and len(sent) > 2
    assert len(library.search.asked) - searches == 1
