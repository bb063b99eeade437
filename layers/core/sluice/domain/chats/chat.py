"""Chats of the playground: named conversations that belong to one account."""

from collections.abc import Sequence
from dataclasses import dataclass

from ulid import ULID

TITLE_CHARACTERS = 200
SYSTEM_CHARACTERS = 8_000
CONTENT_CHARACTERS = 100_000
UNTITLED = "New chat"


@dataclass(frozen=True)
class Chat:
    account_id: str
    chat_id: str
    title: str
    system: str | None
    model: str | None
    created_ms: int
    updated_ms: int
    temperature: float | None = None  # what its messages are asked with where they say nothing themselves
    max_tokens: int | None = None


@dataclass(frozen=True)
class Cited:
    """A passage that the model was given: where it is, not what it says, so that no text outlives its file."""

    file_id: str
    filename: str
    position: int  # of the passage in its file, from 0


@dataclass(frozen=True)
class ChatMessage:
    """`status`: "complete", or "broken_off" where the answer ended early; what came is kept. Counts: model tokens.

    `finish_reason` as the model gave it: "length" where the answer was cut at its longest. `citations`: None where
    no documents were searched.
    """

    message_id: str
    role: str  # "user" or "assistant"
    content: str
    created_ms: int
    status: str = "complete"
    request_id: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    response_time_ms: int | None = None
    finish_reason: str | None = None
    citations: Sequence[Cited] | None = None


def message_id(now_ms: int) -> str:
    """Time-ordered, so that a chat's messages are read in order by key."""
    return "msg_" + str(ULID.from_timestamp(now_ms / 1000))


def title_from(content: str) -> str:
    """A name for a chat that was given none: the beginning of its first message."""
    line = " ".join(content.split())
    return line if len(line) <= 60 else line[:59].rstrip() + "…"


def prompt(chat: Chat, history: Sequence[ChatMessage], content: str) -> list[dict[str, str]]:
    """The chat as the model is asked: system prompt, what was said (empty answers left out), the new message."""
    said = [{"role": message.role, "content": message.content} for message in history if message.content]
    system = [{"role": "system", "content": chat.system}] if chat.system else []
    return [*system, *said, {"role": "user", "content": content}]


def before(history: Sequence[ChatMessage], replaced: str) -> tuple[list[ChatMessage], list[ChatMessage]] | None:
    """(what stays, what goes) when the message `replaced` is written anew; None where there is no such message."""
    for place, message in enumerate(history):
        if message.message_id == replaced:
            return list(history[:place]), list(history[place:])
    return None
