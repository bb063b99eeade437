"""Chats are named, continued, edited, charged like other requests, and private to their owner."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sluice.domain.errors import ModelUnavailable
from sluice.wiring import stores
from sluice.wiring.chats import chats
from tests.fakes.upstream import chunk
from tests.integration.gateway.conftest import ANSWER, Person


def begin(person: Person, **body: Any) -> str:
    answer = person.call("POST", "/chats", json=body)
    assert answer.status_code == 201, answer.json
    return str(answer.json["id"])  # type: ignore[index]


def say(person: Person, chat: str, content: str, **more: Any) -> Any:
    answer = person.call("POST", f"/chats/{chat}/messages", json={"content": content, **more})
    answer.get_data()  # to its end
    return answer


def messages(person: Person, chat: str) -> list[dict[str, Any]]:
    answer = person.call("GET", f"/chats/{chat}")
    return list(answer.json["messages"])  # type: ignore[index]


def test_an_answer_is_streamed_saved_and_charged(person: Person) -> None:
    chat = begin(person, system="Be brief.")
    answer = say(person, chat, "Capital of France?")
    assert answer.mimetype == "text/event-stream" and answer.data.endswith(b"data: [DONE]\n\n")
    question, kept = messages(person, chat)
    assert (question["role"], question["content"]) == ("user", "Capital of France?")
    assert (kept["role"], kept["content"], kept["status"]) == ("assistant", "Paris", "complete")
    assert (kept["prompt_tokens"], kept["completion_tokens"]) == (10, 2)
    (entry,) = person.log()
    assert (entry["endpoint"], entry["token_id"], entry["id"]) == ("chats", "playground", kept["request_id"])
    assert person.grant().period_tokens == 12


def test_the_model_gets_the_whole_conversation(person: Person) -> None:
    chat = begin(person, system="Be brief.")
    say(person, chat, "Capital of France?")
    say(person, chat, "And of Spain?", temperature=0.5)
    asked = person.upstream.calls[-1].body
    assert asked["temperature"] == 0.5
    assert [message["content"] for message in asked["messages"]] == [
        "Be brief.",
        "Capital of France?",
        "Paris",
        "And of Spain?",
    ]


def test_an_edited_message_is_shown_instead_of_itself_and_all_later_messages(person: Person) -> None:
    chat = begin(person)
    say(person, chat, "first")
    say(person, chat, "second")
    first = messages(person, chat)[0]["id"]
    say(person, chat, "instead", replaces=first)
    assert [message["content"] for message in messages(person, chat)] == ["instead", "Paris"]
    assert say(person, chat, "x", replaces="msg_none").status_code == 422


def test_the_partial_answer_is_saved(person: Person) -> None:
    chat = begin(person)
    person.script(chunk("Pa"), ModelUnavailable())
    say(person, chat, "Capital of France?")
    kept = messages(person, chat)[-1]
    assert (kept["content"], kept["status"]) == ("Pa", "broken_off")


def test_chats_are_listed_last_used_first_renamed_and_deleted(person: Person) -> None:
    first, second = begin(person, title="One"), begin(person)
    say(person, first, "hello")
    listed = person.call("GET", "/chats").json["data"]  # type: ignore[index]
    assert [chat["id"] for chat in listed] == [first, second]
    say(person, second, "What shall I call you?  Tell me.")
    named = person.call("GET", f"/chats/{second}").json
    assert named["title"] == "What shall I call you? Tell me."  # type: ignore[index]
    changed = person.call("PATCH", f"/chats/{second}", json={"title": " Names ", "system": None}).json
    assert (changed["title"], changed["system"]) == ("Names", None)  # type: ignore[index]
    assert person.call("DELETE", f"/chats/{second}").status_code == 204
    assert person.call("GET", f"/chats/{second}").status_code == 404
    assert person.call("DELETE", f"/chats/{second}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/messages")],
)
def test_a_chat_of_another_account_is_not_found(person: Person, other: Person, method: str, path: str) -> None:
    chat = begin(person, title="Mine")
    answer = other.call(method, f"/chats/{chat}{path}", json={"title": "x", "content": "x"})
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")  # type: ignore[index]
    assert person.call("GET", f"/chats/{chat}").json["title"] == "Mine"  # type: ignore[index]


def test_chats_are_rate_limited_and_a_refused_message_is_not_saved(person: Person) -> None:
    person.store.client.update_item(
        TableName=person.store.prefix + "grants",
        Key={"account_id": {"S": person.account_id}},
        UpdateExpression="SET limits.rpm = :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    chat = begin(person)
    assert say(person, chat, "one").status_code == 200
    refused = say(person, chat, "two")
    assert (refused.status_code, refused.json["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["Retry-After"]) >= 1
    assert [message["content"] for message in messages(person, chat)] == ["one", "Paris"]


def test_api_tokens_and_invalid_bodies_are_refused(person: Person) -> None:
    assert person.client.get("/chats", headers=person.api_token).status_code == 401
    chat = begin(person)
    for body in ({}, {"content": ""}, {"content": 5}, {"content": "x", "temperature": 9}):
        answer = person.call("POST", f"/chats/{chat}/messages", json=body)
        assert (answer.status_code, answer.json["code"]) == (422, "validation_error")  # type: ignore[index]


def test_a_message_gets_its_id_at_once_and_a_refused_one_does_not_change_the_chat(person: Person) -> None:
    chat = begin(person)
    first = say(person, chat, "first").headers["x-sluice-message-id"]
    assert messages(person, chat)[0]["id"] == first
    before = messages(person, chat)
    person.script(ModelUnavailable())
    for more in ({}, {"replaces": first}):
        assert say(person, chat, "second", **more).status_code == 503
        assert messages(person, chat) == before
    assert person.grant().leases == {}


def test_a_chats_settings_apply_to_its_messages_unless_a_message_has_its_own(person: Person) -> None:
    chat = begin(person, temperature=0.25, max_tokens=9)
    assert person.call("GET", f"/chats/{chat}").json["temperature"] == 0.25  # type: ignore[index]
    say(person, chat, "one")
    say(person, chat, "two", temperature=0, max_tokens=3)
    person.call("PATCH", f"/chats/{chat}", json={"temperature": None, "max_tokens": None})
    say(person, chat, "three")
    asked = [(call.body.get("temperature"), call.body["max_tokens"]) for call in person.upstream.calls]
    assert asked == [(0.25, 9), (0, 3), (None, 512)]
    for body in ({"temperature": 2.1}, {"temperature": True}, {"max_tokens": 0}, {"max_tokens": "9"}):
        assert person.call("PATCH", f"/chats/{chat}", json=body).status_code == 422


def test_a_chat_deleted_before_its_answer_begins_is_charged_and_saves_no_message(person: Person) -> None:
    chat = begin(person)
    person.script(lambda: person.call("DELETE", f"/chats/{chat}"), chunk("Pa"), chunk(None, "stop"))  # type: ignore[arg-type, return-value]
    assert say(person, chat, "Capital of France?").status_code == 200
    assert person.grant().leases == {} and len(person.log()) == 1
    assert stored_messages(person, chat) == []


def test_a_chat_deleted_during_its_answer_saves_no_message(person: Person) -> None:
    chat = begin(person)
    person.script(chunk("Pa"), lambda: person.call("DELETE", f"/chats/{chat}"), *ANSWER[1:])  # type: ignore[arg-type, return-value]
    assert say(person, chat, "Capital of France?").data.endswith(b"data: [DONE]\n\n")
    assert person.grant().leases == {} and person.log()[0]["status"] == 200
    assert stored_messages(person, chat) == []


def stored_messages(person: Person, chat: str) -> list[Any]:
    from sluice.wiring import stores

    return stores.chat_store().messages(person.account_id, chat)


def test_changes_at_once_are_all_kept(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = begin(person)
    store: Any = type(stores.chat_store())
    changed, begun = store.change, []

    def late(self: Any, *given: Any, **more: Any) -> Any:
        if not begun:
            begun.append(True)
            person.call("PATCH", f"/chats/{chat}", json={"title": "Mine", "system": "Be brief."})
            chats().attach(person.account_id, chat, "file_0", lambda _: True)
        return changed(self, *given, **more)

    monkeypatch.setattr(store, "change", late)
    say(person, chat, "hello")
    with ThreadPoolExecutor(5) as threads:
        list(threads.map(lambda it: chats().attach(person.account_id, chat, f"file_{it}", lambda _: True), range(1, 6)))
    kept = chats().get(person.account_id, chat)
    assert (kept.title, kept.system) == ("Mine", "Be brief.") and kept.shown is not None
    assert sorted(kept.files) == [f"file_{it}" for it in range(6)]


def test_a_foreign_chat_is_missing_and_an_answer_is_not_replaced(person: Person, other: Person) -> None:
    chat = begin(person)
    say(person, chat, "hello")
    answer = messages(person, chat)[1]["id"]
    assert other.call("PATCH", f"/chats/{chat}", json={"shown": answer}).status_code == 404
    assert say(person, chat, "instead", replaces=answer).status_code == 422


def test_an_answer_of_any_characters_is_kept(person: Person) -> None:
    def thought(text: str) -> bytes:
        delta = {"reasoning_content": text}
        return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode()

    chat, smile = begin(person), "\U0001f600"
    person.script(thought(smile * 20_000), *[chunk(smile * 1_000)] * 100, chunk(None, "stop"))
    say(person, chat, "hello")
    kept = messages(person, chat)[-1]
    assert (len(kept["content"]), len(kept["reasoning"])) == (75_000, 20_000)
    person.script(thought("a\ud83d"), chunk("b\ud83d"), chunk("\ude00c"), chunk(None, "stop"))
    say(person, chat, "hello")
    kept = messages(person, chat)[-1]
    assert (kept["content"], kept["reasoning"]) == (f"b{smile}c", "a\ufffd")
