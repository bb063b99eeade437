"""An edit or another answer keeps what was there, as a branch beside it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sluice.adapters.aws import dynamo
from sluice.domain.errors import ModelUnavailable
from sluice.wiring import stores
from tests.fakes.upstream import chunk
from tests.integration.chats.test_bounds import rows
from tests.integration.chats.test_chats import begin, messages, say
from tests.integration.gateway.conftest import Person


def texts(person: Person, chat: str) -> list[str]:
    return [message["content"] for message in messages(person, chat)]


def show(person: Person, chat: str, message_id: str | None) -> Any:
    return person.call("PATCH", f"/chats/{chat}", json={"shown": message_id})


def answer(person: Person, text: str) -> None:
    person.script(chunk(text), chunk(None, "stop"))


def two_turns(person: Person) -> str:
    chat = begin(person)
    for question, reply in (("first", "one"), ("second", "two")):
        answer(person, reply)
        say(person, chat, question)
    return chat


def forget_branches(person: Person) -> None:
    """As an earlier version stored messages and chats."""
    for item in rows(person, "chat"):
        item.pop("parent_id", None)
        item.pop("shown", None)
        person.store.client.put_item(TableName=person.store.prefix + "contents", Item=dynamo.item(item))


def test_an_edit_keeps_the_earlier_message_and_all_that_follows_it(person: Person) -> None:
    chat = two_turns(person)
    first = messages(person, chat)[0]["id"]
    answer(person, "other")
    edited = say(person, chat, "instead", replaces=first).headers["x-sluice-message-id"]
    assert texts(person, chat) == ["instead", "other"]
    assert messages(person, chat)[0]["siblings"] == [first, edited]
    assert show(person, chat, first).status_code == 200
    assert texts(person, chat) == ["first", "one", "second", "two"]
    assert show(person, chat, edited).status_code == 200 and texts(person, chat) == ["instead", "other"]


def test_the_same_words_again_get_another_answer_to_the_same_question(person: Person) -> None:
    chat = two_turns(person)
    question, earlier = messages(person, chat)[2:]
    answer(person, "three")
    asked = say(person, chat, "second", replaces=question["id"])
    assert asked.headers["x-sluice-message-id"] == question["id"]
    assert texts(person, chat) == ["first", "one", "second", "three"]
    assert [each["content"] for each in person.upstream.calls[-1].body["messages"]] == ["first", "one", "second"]
    last = messages(person, chat)[-1]
    assert last["siblings"] == [earlier["id"], last["id"]] and last["parent_id"] == question["id"]
    assert messages(person, chat)[2]["siblings"] == [question["id"]]


def test_what_is_said_next_follows_the_branch_that_is_shown(person: Person) -> None:
    chat = two_turns(person)
    first, one = (message["id"] for message in messages(person, chat)[:2])
    answer(person, "uno")
    say(person, chat, "first", replaces=first)
    answer(person, "more")
    say(person, chat, "and then?")
    assert texts(person, chat) == ["first", "uno", "and then?", "more"]
    show(person, chat, one)
    assert texts(person, chat) == ["first", "one", "second", "two"]
    show(person, chat, None)
    assert texts(person, chat)[1] == "uno"  # the newest message's


def test_messages_of_an_earlier_version_are_a_line_that_branches_from_now_on(person: Person) -> None:
    chat = two_turns(person)
    forget_branches(person)
    assert texts(person, chat) == ["first", "one", "second", "two"]
    stored = messages(person, chat)
    assert [each["parent_id"] for each in stored] == [None, *(each["id"] for each in stored[:3])]
    answer(person, "dos")
    say(person, chat, "segundo", replaces=stored[2]["id"])
    assert texts(person, chat) == ["first", "one", "segundo", "dos"]
    show(person, chat, stored[2]["id"])
    say(person, chat, "third")
    assert texts(person, chat)[:5] == ["first", "one", "second", "two", "third"]


def test_a_message_from_a_second_window_waits_for_the_answer_that_is_running(person: Person) -> None:
    chat = two_turns(person)
    slow = person.call("POST", f"/chats/{chat}/messages", json={"content": "slow"})
    asked = len(person.upstream.calls)
    refused = say(person, chat, "quick")
    assert (refused.status_code, refused.json["code"]) == (409, "conflict")
    assert len(person.upstream.calls) == asked
    slow.get_data()
    say(person, chat, "quick")
    assert texts(person, chat)[4:] == ["slow", "two", "quick", "two"]
    assert person.grant().leases == {}


def test_of_messages_at_once_each_is_answered_or_refused_and_none_is_charged_in_vain(person: Person) -> None:
    chat = two_turns(person)
    question = messages(person, chat)[2]["id"]
    with ThreadPoolExecutor(4) as threads:  # as many as the account may ask at once
        again = list(threads.map(lambda _: say(person, chat, "second", replaces=question).status_code, range(6)))
    answered = again.count(200)
    assert answered >= 1 and answered + again.count(409) == 6
    shown = messages(person, chat)
    assert len(shown) == 4 and len(shown[3]["siblings"]) == 1 + answered
    assert len(person.log()) == 2 + answered and person.grant().leases == {}


def test_a_refused_edit_leaves_the_shown_branch(person: Person) -> None:
    chat = two_turns(person)
    before = messages(person, chat)
    person.script(ModelUnavailable())
    assert say(person, chat, "instead", replaces=before[0]["id"]).status_code == 503
    assert messages(person, chat) == before


@pytest.mark.parametrize("shown", ["msg_none", "x" * 65, 5])
def test_only_a_message_of_the_chat_can_be_shown(person: Person, shown: Any) -> None:
    chat, other = two_turns(person), two_turns(person)
    for wanted in (shown, messages(person, other)[0]["id"]):
        refused = show(person, chat, wanted)
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "shown")
    assert texts(person, chat) == ["first", "one", "second", "two"]


def test_all_branches_count_to_a_chats_bound_and_go_with_it(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.domain.chats.chat.MOST_MESSAGES", 6)
    chat = two_turns(person)
    first = messages(person, chat)[0]["id"]
    assert [say(person, chat, "instead", replaces=first).status_code for _ in range(2)] == [200, 409]
    assert len(stores.chat_store().messages(person.account_id, chat)) == 6
    assert person.call("DELETE", f"/chats/{chat}").status_code == 204
    assert stores.chat_store().messages(person.account_id, chat) == []
