"""Requests and answers of `/chats…`."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints

from sluice.domain.chats import chat as rules
from sluice.domain.chats.branches import Branches
from sluice.domain.chats.chat import Chat, ChatMessage
from sluice.domain.documents.retrieval import DEFAULT_TOP_K, MAX_STORES, MAX_TOP_K
from sluice.domain.periods import rfc3339
from sluice.http.fields import Flag, Integer, Number
from sluice.http.lazy_model import BaseModel

Title = Annotated[
    str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=rules.TITLE_CHARACTERS)
]
System = Annotated[str, StringConstraints(strict=True, max_length=rules.SYSTEM_CHARACTERS)]
ModelName = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]
Temperature = Annotated[Number, Field(ge=0, le=2)]
MaxTokens = Annotated[Integer, Field(ge=1, le=1_000_000)]
Content = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=rules.CONTENT_CHARACTERS)]


class NewChatBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    title: Title | None = None
    system: System | None = None
    model: ModelName | None = None
    temperature: Temperature | None = Field(None, description="default for messages that have none")
    max_tokens: MaxTokens | None = Field(None, description="default for messages that have none")

    def changes(self) -> dict[str, str | int | float | None]:
        given: dict[str, str | int | float | None] = self.model_dump(exclude_unset=True)
        if given.get("title") is None:
            given.pop("title", None)
        return given


class ChatChanges(NewChatBody):
    """Omitted fields stay unchanged."""

    shown: str | None = Field(
        None, max_length=64, description="a message: show its branch, to its newest end; null: the newest message's"
    )


class ChatRetrieval(BaseModel):
    """As `retrieval` of `/v1/chat/completions`; without `vector_store_ids` all of one's own stores are searched."""

    model_config = ConfigDict(extra="ignore")

    vector_store_ids: (
        Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_STORES, fail_fast=True)] | None
    ) = None
    mode: Literal["strict", "augment"] = "strict"
    top_k: Annotated[Integer, Field(ge=1, le=MAX_TOP_K)] = DEFAULT_TOP_K


class MessageBody(BaseModel):
    """A message to be answered. `replaces`: the id of an earlier message of the user, beside which this one begins a
    branch of the chat; with the same content, the earlier message gets another answer."""

    model_config = ConfigDict(extra="ignore")

    content: Content
    replaces: str | None = Field(None, max_length=64)
    model: ModelName | None = None
    max_tokens: Annotated[Integer, Field(ge=1)] | None = None
    temperature: Temperature | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    seed: Annotated[Integer, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    retrieval: ChatRetrieval | Flag | None = Field(None, description="answer from documents; `true`: as by default")

    @property
    def documents(self) -> ChatRetrieval | None:
        return ChatRetrieval() if self.retrieval is True else self.retrieval or None

    def sampling(self) -> dict[str, Any]:
        return self.model_dump(exclude={"content", "replaces", "model", "max_tokens", "retrieval"}, exclude_none=True)


class FollowQuery(BaseModel):
    starting_after: int = Field(-1, description="the `id` of the last event that came")


class ChatInfo(BaseModel):
    id: str
    title: str
    system: str | None
    model: str | None
    temperature: float | None
    max_tokens: int | None
    files: list[str] = Field(description="documents in which its answers are looked for")
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, chat: Chat) -> "ChatInfo":
        created, updated = rfc3339(chat.created_ms), rfc3339(chat.updated_ms)
        return cls.like(chat, id=chat.chat_id, files=list(chat.files), created_at=created, updated_at=updated)


class ChatsQuery(BaseModel):
    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the previous page")


class ChatList(BaseModel):
    data: list[ChatInfo]
    next_cursor: str | None


class CitedPassage(BaseModel):
    file_id: str
    filename: str
    position: int = Field(description="of the passage in its file, from 0")


class MessageInfo(BaseModel):
    id: str
    role: str
    content: str
    status: str
    created_at: str
    request_id: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    response_time_ms: int | None
    finish_reason: str | None
    citations: list[CitedPassage] | None = Field(description="with `retrieval`: the passages in the prompt")
    parent_id: str | None = Field(description="the message that it follows")
    left_out: int | None = Field(description="of an answer: earlier messages that did not fit the model's context")
    context_tokens: int | None = Field(description="of an answer: the model's context, if its server states it")
    reasoning: str | None = Field(description="what the model thought before the answer, cut at 20,000 characters")
    reasoning_ms: int | None

    @classmethod
    def of(cls, message: ChatMessage, branches: Branches, **more: Any) -> Self:
        cited = message.citations
        citations = None if cited is None else [CitedPassage.like(one) for one in cited]
        created, parent = rfc3339(message.created_ms), branches.parent(message)
        return cls.like(
            message,
            id=message.message_id,
            created_at=created,
            citations=citations,
            parent_id=parent.message_id if parent else None,
            **more,
        )


class ShownMessage(MessageInfo):
    siblings: list[str] = Field(description="the messages that follow the same one, itself among them, oldest first")

    @classmethod
    def shown(cls, message: ChatMessage, branches: Branches) -> Self:
        return cls.of(message, branches, siblings=[one.message_id for one in branches.siblings(message)])


class ChatWithMessages(ChatInfo):
    messages: list[ShownMessage] = Field(description="of the branch that is shown")

    @classmethod
    def with_messages(cls, chat: Chat, branches: Branches) -> "ChatWithMessages":
        return cls.like(ChatInfo.of(chat), messages=[ShownMessage.shown(one, branches) for one in branches.path])


class ExportedChat(ChatInfo):
    """Without siblings, which follow from `parent_id`."""

    messages: list[MessageInfo]
    other_messages: list[MessageInfo] = Field(description="of the other branches")

    @classmethod
    def with_messages(cls, chat: Chat, branches: Branches) -> "ExportedChat":
        messages, others = (
            [MessageInfo.of(one, branches) for one in each] for each in (branches.path, branches.others)
        )
        return cls.like(ChatInfo.of(chat), messages=messages, other_messages=others)
