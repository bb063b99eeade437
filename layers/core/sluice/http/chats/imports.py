"""A chat's export in JSON (`ExportedChat`), read back."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import pydantic_core
from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

from sluice.domain import errors
from sluice.domain.chats.chat import (
    BEGINNING,
    CONTENT_CHARACTERS,
    MOST_MESSAGES,
    REASONING_CHARACTERS,
    ChatMessage,
    Cited,
)
from sluice.domain.documents.retrieval import MAX_TOP_K
from sluice.domain.documents.uploads import FILENAME_CHARACTERS, IDENTIFIER
from sluice.http import json_bounds
from sluice.http.chats.requests import NewChatBody
from sluice.http.fields import Integer, Loose
from sluice.http.operation import validated

MOST_MEMBERS = 200_000  # some 100 of each message: its fields and its citations
NO_EXPORT = "This file is not a chat. Choose one that you downloaded as JSON from a chat's menu."

Id = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]
Count = Annotated[Integer, Field(ge=0, le=1_000_000_000)]


class ImportedPassage(Loose):
    file_id: Annotated[str, StringConstraints(strict=True, pattern=f"^{IDENTIFIER.pattern}$")]
    filename: Annotated[str, StringConstraints(strict=True, max_length=FILENAME_CHARACTERS)]
    position: Count


class ImportedMessage(Loose):
    """Without what is of the server that it was exported from: its `request_id`."""

    id: Id
    role: Literal["user", "assistant"]
    content: Annotated[str, StringConstraints(strict=True, max_length=CONTENT_CHARACTERS)]
    status: Literal["complete", "broken_off"] = "complete"
    created_at: AwareDatetime | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    response_time_ms: Count | None = None
    finish_reason: Annotated[str, StringConstraints(strict=True, max_length=64)] | None = None
    citations: Annotated[list[ImportedPassage], Field(max_length=MAX_TOP_K, fail_fast=True)] | None = None
    parent_id: Id | None = None
    left_out: Count | None = None
    context_tokens: Count | None = None
    reasoning: Annotated[str, StringConstraints(strict=True, max_length=REASONING_CHARACTERS)] | None = None
    reasoning_ms: Count | None = None

    def message(self, now: datetime) -> ChatMessage:
        """Exports of an earlier version have no `parent_id`; null says that the message begins its chat."""
        created = max(datetime.fromtimestamp(0, UTC), min(self.created_at or now, now))
        cited = self.citations
        return ChatMessage(
            **self.model_dump(exclude={"id", "created_at", "citations", "parent_id"}),
            message_id=self.id,
            created_ms=int(created.timestamp() * 1000),
            citations=None if cited is None else [Cited(**one.model_dump()) for one in cited],
            parent_id=self.parent_id or BEGINNING if "parent_id" in self.model_fields_set else None,
        )


Messages = Annotated[list[ImportedMessage], Field(max_length=MOST_MESSAGES, fail_fast=True)]


class ImportedChat(NewChatBody):
    """Its files stay where they are: they are documents."""

    model_config = ConfigDict(extra="ignore")

    messages: Messages
    other_messages: Messages = Field(default_factory=list)

    def changes(self) -> dict[str, str | int | float | None]:
        settings = self.model_dump(exclude_unset=True, include=set(NewChatBody.model_fields))
        return NewChatBody(**settings).changes()

    def all_messages(self, now_ms: int) -> list[ChatMessage]:
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        return [one.message(now) for one in (*self.messages, *self.other_messages)]


def read(body: bytes) -> ImportedChat:
    """Errors: ValidationFailed, with a message that says what is wrong with the file."""
    try:
        value = None if json_bounds.excess(body, MOST_MEMBERS) else pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError:
        value = None
    if not isinstance(value, dict) or "messages" not in value:
        raise errors.ValidationFailed(message=NO_EXPORT)
    try:
        chat = validated(ImportedChat, value)
    except errors.ValidationFailed as exc:
        first = exc.problems[0]
        message = f"This file cannot be imported: {first.param or first.field} {first.message}"
        raise errors.ValidationFailed(exc.problems, message.rstrip(".") + ".") from exc
    if len(chat.messages) + len(chat.other_messages) > MOST_MESSAGES:
        raise errors.ValidationFailed(
            message=f"This file cannot be imported: it has more than {MOST_MESSAGES:,} messages."
        )
    return chat
