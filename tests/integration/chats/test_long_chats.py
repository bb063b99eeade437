"""A chat longer than the model's context goes on without its oldest turns."""

import time
from dataclasses import replace
from typing import Any

import pytest

from sluice.domain.chats import prompt
from sluice.domain.chats.chat import Chat, ChatMessage
from sluice.domain.chats.prompt import Prompt
from sluice.domain.errors import ContextLengthExceeded
from sluice.domain.gateway.estimates import prompt_tokens
from tests.fakes.upstream import chunk
from tests.integration.chats.test_chats import begin, messages, say
from tests.integration.gateway.conftest import Person
from tests.slowness import within

LINE = "x" * 395  # about 100 tokens


def sent(person: Person) -> list[str]:
    return [str(message["content"]) for message in person.upstream.calls[-1].body["messages"]]


def talk(person: Person, chat: str, turns: int) -> list[int]:
    """→ how many messages were left out of each turn."""
    person.script(chunk("Fine."), chunk(None, "stop"))
    for number in range(turns):
        assert say(person, chat, f"{number} {LINE}").status_code == 200
    return [message["left_out"] or 0 for message in messages(person, chat) if message["role"] == "assistant"]


def test_the_oldest_turns_are_left_out_and_the_system_prompt_is_not(person: Person) -> None:
    person.upstream.context_window = 1024
    chat = begin(person, system="Be brief.")
    left_out = talk(person, chat, 12)
    assert left_out[:6] == [0] * 6 and left_out == sorted(left_out) and left_out[-1] > 0
    assert sent(person)[0] == "Be brief." and sent(person)[-1].startswith("11 ")
    assert sent(person)[1].startswith(f"{left_out[-1] // 2} ")  # a question, not the answer to one that is left out
    assert len(set(left_out)) <= 4  # several turns at once, so that what begins the prompt changes seldom
    assert len(messages(person, chat)) == 24
    assert messages(person, chat)[-1]["context_tokens"] == 1024


def refusing(person: Person, most_characters: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model server that counts more tokens than our estimate."""
    opened = person.upstream.open

    def open_(call: Any) -> Any:
        if sum(len(message["content"]) for message in call.body["messages"]) > most_characters:
            person.upstream.calls.append(call)
            raise ContextLengthExceeded()
        return opened(call)

    monkeypatch.setattr(person.upstream, "open", open_)


def test_what_the_model_refuses_as_too_long_is_sent_again_without_the_oldest_turns(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.upstream.context_window = None
    chat = begin(person, system="Be brief.")
    refusing(person, 1500, monkeypatch)
    left_out = talk(person, chat, 6)
    assert left_out[:3] == [0, 0, 0] and left_out[3] > 0
    assert sent(person)[0] == "Be brief." and sent(person)[-1].startswith("5 ")
    assert len(person.log()) == 6 and {entry["status"] for entry in person.log()} == {200}
    assert person.grant().leases == {}


def test_a_message_that_is_too_long_by_itself_is_refused(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = begin(person)
    talk(person, chat, 2)
    before = messages(person, chat)
    refusing(person, 1500, monkeypatch)
    refused = say(person, chat, "y" * 1600)
    assert (refused.status_code, refused.json["code"]) == (400, "context_length_exceeded")
    assert messages(person, chat) == before and person.grant().leases == {}
    assert person.log()[0]["status"] == 400


def test_a_model_with_a_longer_context_is_sent_what_was_left_out_before() -> None:
    chat = Chat("usr_1", "chat_1", "x", "Be brief.", None, 1, 1)
    history = [
        ChatMessage(str(place), "user" if place % 2 == 0 else "assistant", LINE, place, prompt_tokens=200 * (place % 2))
        for place in range(10)
    ]
    history[-1] = replace(history[-1], left_out=6, context_tokens=512)
    assert Prompt(chat, history, "next", 512, 100).left_out >= 6
    assert Prompt(chat, history, "next", 4096, 100).left_out == 0
    assert Prompt(chat, history[:2], "next", 512, 100).left_out == 0  # a branch that is short


def test_the_longest_chat_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    history = [ChatMessage(str(at), "user" if at % 2 == 0 else "assistant", "x" * 4_000, at) for at in range(2_000)]
    read: list[Any] = []
    monkeypatch.setattr(prompt, "prompt_tokens", lambda body: read.append(body) or prompt_tokens(body))
    began = time.process_time()
    made = Prompt(Chat("usr_1", "chat_1", "x", None, None, 1, 1), history, "next", 8_192, 1_024)
    assert within(time.process_time() - began, 0.05) and len(read) < 5
    assert 1_990 < made.left_out < 2_000


def test_a_model_that_refuses_each_length_is_asked_four_times(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    person.upstream.context_window = None
    chat = begin(person)
    talk(person, chat, 20)
    refusing(person, 0, monkeypatch)
    asked = len(person.upstream.calls)
    assert say(person, chat, "next").status_code == 400
    assert len(person.upstream.calls) - asked == 4
    assert [len(call.body["messages"]) for call in person.upstream.calls[asked:]] == [41, 21, 11, 1]
