"""A downloaded chat is imported, without JavaScript: whole, with its branches, or not at all."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from sluice.adapters import chats as adapter
from sluice.domain.accounts.account import Account
from sluice.domain.chats.chat import MOST_MESSAGES, ChatMessage, Cited
from sluice.domain.errors import StoreUnavailable
from sluice.wiring import stores
from sluice.wiring.chats import chats
from tests.integration.documents.api.conftest import BOUNDARY, Library, multipart
from tests.integration.pages.browser import OWN, Browser, Page
from tests.slowness import within

FILE_ID = "file_01ARZ3NDEKTSV4RRFFQ69G5FAV"
OF_ITS_PLACE = ("id", "parent_id", "created_at", "updated_at", "request_id", "files")


def send(browser: Browser, body: bytes) -> Page:
    """With the form of the list of chats."""
    form = browser.get("/my/chats").form("/my/chats/import")
    data = multipart({"form_token": form.fields["form_token"]}, "chat.json", body)
    with browser.client.post(
        form.action, data=data, content_type=f"multipart/form-data; boundary={BOUNDARY}", headers=OWN
    ) as answer:
        return Page(answer)  # type: ignore[arg-type]


def bring(browser: Browser, chat: Any) -> str:
    """→ the new chat's page"""
    answered = send(browser, json.dumps(chat, ensure_ascii=False).encode())
    assert answered.status == 303, answered.text
    return answered.answer.headers["Location"]


def exported(browser: Browser, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(browser.get(f"{path}/export?as=json").html)
    return found


def placeless(chat: dict[str, Any]) -> dict[str, Any]:
    """The export with each message named by its place, and without what is of its server and moment."""
    every = [*chat["messages"], *chat["other_messages"]]
    names: dict[str | None, int | None] = {one["id"]: place for place, one in enumerate(every)} | {None: None}
    tree = [names[one["parent_id"]] for one in every]
    plain = [{name: value for name, value in one.items() if name not in OF_ITS_PLACE} for one in every]
    rest = {name: value for name, value in chat.items() if name not in (*OF_ITS_PLACE, "messages", "other_messages")}
    return {**rest, "tree": tree, "every": plain, "shown": len(chat["messages"])}


def message(name: str, parent: str | None = None, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"id": name, "parent_id": parent, "role": role, "content": f"says {name}", **more}


def count(ann: Account) -> int:
    return len(stores.chat_store().page(ann.account_id, 100, None)[0])


def test_a_chat_comes_back_as_it_was_exported(member: Browser, ann: Account) -> None:
    given = {"title": "Tea & <b>more</b>", "system": "Be brief.", "temperature": 0.5, "max_tokens": 90}
    chat = chats().create(ann.account_id, given, 1)
    numbers = dict.fromkeys(("prompt_tokens", "completion_tokens", "response_time_ms", "left_out", "context_tokens"), 7)
    told: dict[str, Any] = {"reasoning": "Hm.", "reasoning_ms": 5, "finish_reason": "length", **numbers}
    for one in (
        ChatMessage("msg_a", "user", "Where? 🍵\n", 1_000, parent_id=""),
        ChatMessage("msg_b", "assistant", "Hills [1]", 2_000, parent_id="msg_a", **told),
        ChatMessage("msg_c", "assistant", "", 3_000, "broken_off", parent_id="msg_a", request_id="req_1"),
        ChatMessage("msg_d", "user", "And?", 4_000, parent_id="msg_b"),
        ChatMessage("msg_e", "assistant", "So.", 5_000, parent_id="msg_d", citations=[Cited(FILE_ID, "tea.txt", 3)]),
        ChatMessage("msg_f", "user", "Instead", 6_000, parent_id=""),
    ):
        stores.chat_store().add(ann.account_id, chat.chat_id, one)
    chats().update(ann.account_id, chat.chat_id, {"shown": "msg_d"}, 1)
    before = exported(member, f"/my/chats/{chat.chat_id}")
    after = exported(member, bring(member, before))
    assert placeless(after) == placeless(before) and len(after["other_messages"]) == 2
    assert [one["created_at"] for one in after["messages"]] == [one["created_at"] for one in before["messages"]]
    assert {one["request_id"] for one in after["other_messages"]} == {None}, "it is of another log"


def test_an_earlier_versions_export_has_no_branches_and_comes_back_in_order(member: Browser) -> None:
    old = [message("msg_a"), message("msg_b", role="assistant"), message("msg_c")]
    path = bring(member, {"messages": [{k: v for k, v in one.items() if k != "parent_id"} for one in old]})
    assert [one["content"] for one in exported(member, path)["messages"]] == ["says msg_a", "says msg_b", "says msg_c"]


A, B = message("a", "b"), message("b", "a")
WRONG = {
    "not a chat": [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"x" * 1000,
        b"[" * 1_000_000,
        b'{"messages":' * 90_000,
        b"1" * 10**6,
    ],
    "in a circle": [[A, B], [message("x"), message("a", "a")]],
    "not in it": [[message("a", "msg_of_another_chat")]],
    "the same id": [[message("a"), message("a")]],
    "is too long": [[message("a", content="🍵" * 99_000, reasoning="🍵" * 2_000)]],
    "messages[0].role must be": [[message("a", role="system")]],
    "messages[0].content must": [[message("a", content="x" * 100_001)], [message("a", content=None)]],
    "messages[0].prompt_tokens must": [[message("a", prompt_tokens=-1)], [message("a", prompt_tokens=10**40)]],
    "citations[0].file_id": [[message("a", citations=[{"file_id": "../account", "filename": "x", "position": 0}])]],
    "at most 2000": [[message(f"m{place}") for place in range(MOST_MESSAGES + 1)]],
    "cannot be imported": [[7], {"a": 1}, "x", [message("a", created_at="0001-01-01T00:00:00+99:00")]],
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_no_chat_is_refused_in_words_and_nothing_is_kept(member: Browser, ann: Account, words: str) -> None:
    for wrong in WRONG[words]:
        body = wrong if isinstance(wrong, bytes) else json.dumps({"messages": wrong}).encode()
        began_s = time.thread_time()
        answered = send(member, body)
        assert within(time.thread_time() - began_s, 2.0)
        assert answered.status == 422 and words in answered.text, answered.text
    assert count(ann) == 0


def test_a_lone_surrogate_and_extreme_times_break_nothing(member: Browser) -> None:
    assert send(member, b'{"messages": [{"id": "a", "role": "user", "content": "\\ud800"}]}').status == 422
    moments = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")
    path = bring(member, {"messages": [message(at, created_at=at) for at in moments]})
    assert exported(member, path)["other_messages"][0]["created_at"] == "1970-01-01T00:00:00Z"


def test_what_is_too_large_is_refused_before_it_is_read(member: Browser) -> None:
    answered = send(member, b"x" * (4 * 1024 * 1024 + 70_000))
    assert (answered.status, answered.answer.headers["Location"]) == (303, "/my/chats?note=too-large")


def test_a_whole_large_chat_is_imported_and_two_at_once_are_two(member: Browser, ann: Account) -> None:
    large = {
        "messages": [message(f"m{at:04}", f"m{at - 1:04}" if at else None, content="é" * 900) for at in range(2_000)]
    }
    began = time.perf_counter()
    path = bring(member, large)
    print(f"2,000 messages took {time.perf_counter() - began:.2f} s")
    assert len(exported(member, path)["messages"]) == 2_000
    with ThreadPoolExecutor(2) as threads:
        paths = set(threads.map(lambda _: bring(member, {"messages": [message("a")]}), range(2)))
    assert len(paths) == 2 and count(ann) == 3


def test_of_many_answers_to_one_question_the_export_grows_with_their_number(member: Browser, ann: Account) -> None:
    chat = chats().create(ann.account_id, {}, 1)
    answers = [ChatMessage(f"msg_b{at:04}", "assistant", "Hills", 1, parent_id="msg_a") for at in range(1_999)]
    store = stores.chat_store()
    store.add(ann.account_id, chat.chat_id, ChatMessage("msg_a", "user", "Where?", 1, parent_id=""), *answers)
    whole = member.get(f"/my/chats/{chat.chat_id}/export?as=json").html
    assert len(whole) < 2_000_000
    assert len(exported(member, bring(member, json.loads(whole)))["other_messages"]) == 1_998


def test_a_full_list_and_a_store_that_fails_keep_nothing(
    member: Browser, ann: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as patch:
        patch.setattr(adapter.DynamoChats, "add", fail)
        assert send(member, json.dumps({"messages": [message("a")]}).encode()).status == 503
    assert count(ann) == 0
    store: Any = stores.chat_store()
    monkeypatch.setattr(store, "_chats", replace(store._chats, most=0))
    refused = send(member, json.dumps({"messages": [message("a")]}).encode())
    assert refused.status == 409 and count(ann) == 0


def test_another_sites_form_and_a_stranger_cannot_import(member: Browser, library: Library) -> None:
    data = multipart({"form_token": "x"}, "chat.json", b"{}")
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    assert member.client.post("/my/chats/import", data=data, content_type=kind, headers=OWN).status_code == 403
    guest = library.world.app.test_client()
    assert guest.post("/my/chats/import", data=data, content_type=kind, headers=OWN).status_code == 303
