"""Chats of the playground: named conversations that belong to one account."""

from collections.abc import Sequence
from dataclasses import dataclass

from sluice.domain.ids import ulid

TITLE_CHARACTERS = 200
SYSTEM_CHARACTERS = 8_000
CONTENT_CHARACTERS = 100_000
ANSWER_BYTES = 300_000  # of its text: with its reasoning and citations it is an item of the store of at most 400 KB
REASONING_CHARACTERS = 20_000  # kept of an answer's; its end is dropped, because an item of the store may have 400 KB
UNTITLED = "New chat"
MOST_CHATS = 1_000  # an account's
MOST_MESSAGES = 2_000  # a chat's, in all its branches, because each answer reads all of them
MOST_FILES = 10  # a chat's
BEGINNING = ""  # the `parent_id` of a message that begins its chat

Place = tuple[int, str]  # in the list of chats: `updated_ms` and id of a chat


@dataclass(frozen=True)
class Chat:
    account_id: str
    chat_id: str
    title: str
    system: str | None
    model: str | None
    created_ms: int
    updated_ms: int
    temperature: float | None = None  # the default for messages that set none
    max_tokens: int | None = None
    shown: str | None = None  # a message of the branch that is shown, None for the newest
    files: Sequence[str] = ()  # ids of documents in which its answers are looked for
    running: str | None = None  # the run that answers in it now


@dataclass(frozen=True)
class Cited:
    """Where a passage given to the model is. It holds no text, because a text must not outlive its file."""

    file_id: str
    filename: str
    position: int  # index of the passage in its file, from 0


@dataclass(frozen=True)
class ChatMessage:
    """A message, with its counts of model tokens. `status` is "complete", or "broken_off" if the answer ended early
    and the partial answer was saved.

    `finish_reason` is the model's: "length" if the answer reached its maximum length. `citations` is None if no
    documents were searched. `parent_id`: the message that it follows, or `BEGINNING`; None if an earlier version wrote
    it, which had no branches: then it follows the message before it. `left_out`: how many of the messages before an
    answer were not sent to the model, because they did not fit into its context of `context_tokens`. `reasoning` is
    what the model thought before it answered, for `reasoning_ms`.
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
    parent_id: str | None = None
    left_out: int | None = None
    context_tokens: int | None = None
    reasoning: str | None = None
    reasoning_ms: int | None = None


def message_id(now_ms: int) -> str:
    """An id that sorts by time, so that a query by key returns a chat's messages in order."""
    return "msg_" + ulid(now_ms)


def title_from(content: str) -> str:
    """A title for a chat without one: the beginning of its first message."""
    line = " ".join(content.split())
    return line if len(line) <= 60 else line[:59].rstrip() + "…"
