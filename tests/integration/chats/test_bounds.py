"""An account has at most 1,000 chats, exactly, and its list is read page by page (FIELD F12a)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.bounds.filler import Amounts, _put, fill
from sluice.adapters import chats as adapter
from sluice.adapters.aws import dynamo
from sluice.domain.chats.chat import MOST_CHATS, Chat
from tests.integration.chats.test_chats import begin, messages, say
from tests.integration.gateway.conftest import Person

NONE = Amounts(**dict.fromkeys(Amounts.__dataclass_fields__, 0))


def rows(person: Person, begins: str) -> list[dict[str, Any]]:
    table = person.store.prefix + "contents"
    return list(dynamo.query(table, {"account_id": person.account_id}, begins=begins))


def put(person: Person, count: int, *, held: int | None = None, used_ms: int = 1_000) -> None:
    """Chats as an earlier version wrote them: without a count, unless `held` is given."""
    chats = (Chat(person.account_id, f"chat_{place:016d}", "x", None, None, 1, used_ms) for place in range(count))
    items = [adapter._chat_item(chat) for chat in chats]
    if held is not None:
        items.append({"account_id": person.account_id, "item_id": "chats", "held": held, "schema": 1})
    _put(person.store.prefix + "contents", map(dynamo.item, items))


def create(person: Person) -> int:
    return person.call("POST", "/chats", json={}).status_code


def at_once(person: Person, times: int) -> list[int]:
    with ThreadPoolExecutor(times) as threads:
        return sorted(threads.map(lambda _: create(person), range(times)))


def test_of_16_chats_at_once_exactly_as_many_are_made_as_there_is_room_for(person: Person) -> None:
    put(person, 0, held=MOST_CHATS - 6)
    assert at_once(person, 16) == [201] * 6 + [409] * 10
    answer = person.call("POST", "/chats", json={})
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")  # type: ignore[index]
    assert "1,000 chats" in answer.json["detail"]  # type: ignore[index]
    one = rows(person, "chat#")[0]["chat_id"]
    assert person.call("DELETE", f"/chats/{one}").status_code == 204
    assert at_once(person, 4) == [201, 409, 409, 409]
    assert len(rows(person, "chat#")) == 6


def test_the_chats_of_an_earlier_version_are_counted_once(person: Person) -> None:
    put(person, MOST_CHATS - 2)
    assert at_once(person, 8) == [201] * 2 + [409] * 6
    assert rows(person, "chats")[0]["held"] == len(rows(person, "chat#")) == MOST_CHATS


def test_deletions_at_once_of_uncounted_chats_leave_the_right_count(person: Person) -> None:
    put(person, 8)
    with ThreadPoolExecutor(8) as threads:
        ids = [f"chat_{place % 4:016d}" for place in range(8)]
        statuses = sorted(threads.map(lambda one: person.call("DELETE", f"/chats/{one}").status_code, ids))
    assert statuses.count(204) >= 4 and set(statuses) <= {204, 404}
    assert rows(person, "chats")[0]["held"] == len(rows(person, "chat#")) == 4


def test_an_account_above_the_bound_may_delete_and_not_add(person: Person) -> None:
    put(person, MOST_CHATS + 5)
    assert create(person) == 409
    assert person.call("DELETE", f"/chats/chat_{0:016d}").status_code == 204
    assert create(person) == 409


def test_the_list_is_paged_last_used_first(person: Person) -> None:
    put(person, 7)  # used in the same millisecond
    newest = begin(person)
    seen: list[str] = []
    cursor, sizes = "", []
    while cursor is not None:
        page = person.call("GET", f"/chats?limit=3&cursor={cursor}").json
        seen += [chat["id"] for chat in page["data"]]  # type: ignore[index]
        sizes.append(len(page["data"]))  # type: ignore[index]
        cursor = page["next_cursor"]  # type: ignore[index]
    assert sizes == [3, 3, 2] and seen[0] == newest and len(set(seen)) == 8
    assert len(person.call("GET", "/chats").json["data"]) == 8  # type: ignore[index]
    say(person, seen[-1], "hello")
    assert person.call("GET", "/chats?limit=1").json["data"][0]["id"] == seen[-1]  # type: ignore[index]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=" + "x" * 300])
def test_a_wrong_page_is_refused(person: Person, query: str) -> None:
    answer = person.call("GET", f"/chats?{query}")
    assert (answer.status_code, answer.json["code"]) == (422, "validation_error")  # type: ignore[index]


def test_a_forged_position_is_refused(person: Person) -> None:
    from sluice.services.cursors import cursor

    for used, chat_id in (("1e5", "chat_" + "0" * 16), ("9" * 60, "chat_" + "0" * 16), ("1", "x"), ("1", "x" * 50)):
        answer = person.call("GET", "/chats?cursor=" + cursor("chats", used, chat_id))
        assert (answer.status_code, answer.json["code"]) == (422, "validation_error")  # type: ignore[index]
    far = cursor("chats", "1", "chat_" + "0" * 16)
    assert person.call("GET", f"/chats?cursor={far}").json == {"data": [], "next_cursor": None}


def test_a_page_of_the_fullest_account_reads_what_it_shows(person: Person) -> None:
    fill(person.store.prefix, person.account_id, replace(NONE, chats=MOST_CHATS))
    from benchmarks.bounds.__main__ import counted

    with counted() as calls:
        page = person.call("GET", "/chats?limit=100")
    assert sorted(calls) == ["BatchGetItem", "GetItem", "GetItem", "Query"]  # two of them for the session
    assert len(page.json["data"]) == 100 and len(page.data) < 1_000_000  # type: ignore[index]


def test_a_chats_messages_go_with_it(person: Person) -> None:
    chat, other = begin(person), begin(person)
    say(person, chat, "hello")
    say(person, other, "hello")
    assert person.call("DELETE", f"/chats/{chat}").status_code == 204
    assert rows(person, f"chatmsg#{chat}") == [] and len(messages(person, other)) == 2


def test_a_full_chat_takes_no_message_and_asks_no_model(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.domain.chats.chat.MOST_MESSAGES", 4)
    chat = begin(person)
    assert [say(person, chat, "hello").status_code for _ in range(3)] == [200, 200, 409]
    first = messages(person, chat)[0]["id"]
    assert say(person, chat, "instead", replaces=first).status_code == 409  # because the first is kept
    assert len(person.upstream.calls) == 2


def test_an_answer_that_ends_after_its_chat_was_deleted_leaves_no_message(person: Person) -> None:
    from sluice.domain.chats.chat import ChatMessage
    from sluice.domain.errors import NotFound
    from sluice.wiring import stores

    chat = begin(person)
    say(person, chat, "hello")
    assert person.call("DELETE", f"/chats/{chat}").status_code == 204
    with pytest.raises(NotFound):
        stores.chat_store().add(person.account_id, chat, ChatMessage("msg_x", "assistant", "late", 1))
    assert rows(person, "chatmsg#") == []
