"""Chats: make, list, read, rename, delete; and what a new message is asked with."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sluice.domain.chats import chat as rules
from sluice.domain.chats.chat import Chat, ChatMessage
from sluice.domain.errors import FieldProblem, NotFound, ValidationFailed
from sluice.domain.ids import random_id
from sluice.ports.chats import ChatStore

Changes = Mapping[str, str | int | float | None]  # of title, system, model, temperature, max_tokens, as far as given


@dataclass(frozen=True)
class Chats:
    """Errors of all: StoreUnavailable; and of those that name a chat: NotFound, also for another's."""

    chats: ChatStore

    def create(self, account_id: str, given: Changes, now_ms: int) -> Chat:
        chat = Chat(account_id, random_id("chat_"), rules.UNTITLED, None, None, now_ms, now_ms)
        chat = replace(chat, **given)  # type: ignore[arg-type]
        self.chats.put(chat)
        return chat

    def all(self, account_id: str) -> list[Chat]:
        """Last used first."""
        return sorted(self.chats.all(account_id), key=lambda chat: (chat.updated_ms, chat.chat_id), reverse=True)

    def get(self, account_id: str, chat_id: str) -> Chat:
        return _chat(self.chats, account_id, chat_id)

    def messages(self, account_id: str, chat_id: str) -> list[ChatMessage]:
        """Oldest first; none where there is no such chat."""
        return self.chats.messages(account_id, chat_id)

    def question(self, account_id: str, chat_id: str, message_id: str) -> str:
        """What an own message says, to ask it once more. Errors: ValidationFailed."""
        for message in self.messages(account_id, chat_id):
            if message.message_id == message_id and message.role == "user":
                return message.content
        raise ValidationFailed((FieldProblem("replaces", "There is no such message of yours in this chat."),))

    def update(self, account_id: str, chat_id: str, changes: Changes, now_ms: int) -> Chat:
        chat = replace(self.get(account_id, chat_id), **changes, updated_ms=now_ms)  # type: ignore[arg-type]
        self.chats.update(chat)
        return chat

    def delete(self, account_id: str, chat_id: str) -> None:
        self.get(account_id, chat_id)
        self.chats.delete(account_id, chat_id)


def _chat(chats: ChatStore, account_id: str, chat_id: str) -> Chat:
    chat = chats.get(account_id, chat_id)
    if chat is None:
        raise NotFound("There is no such chat.")
    return chat


@dataclass(frozen=True)
class Turn:
    """One message to be answered: the chat, and what was said before."""

    chat: Chat
    history: list[ChatMessage]
    replaced: list[ChatMessage]
    question: ChatMessage


def prepare_turn(
    account_id: str, chat_id: str, content: str, replaced_id: str | None, *, chats: ChatStore, now_ms: int
) -> Turn:
    """Nothing is written yet. `replaced_id`: an own message that is asked anew, with all that came after it dropped.

    Errors: NotFound, ValidationFailed.
    """
    chat = _chat(chats, account_id, chat_id)
    history = chats.messages(account_id, chat_id)
    replaced: list[ChatMessage] = []
    if replaced_id is not None:
        split = rules.before(history, replaced_id)
        if split is None:
            raise ValidationFailed((FieldProblem("replaces", "There is no such message in this chat."),))
        history, replaced = split
    return Turn(chat, history, replaced, ChatMessage(rules.message_id(now_ms), "user", content, now_ms))


def begin_turn(turn: Turn, *, chats: ChatStore) -> None:
    """Once the request is admitted: keep the question, drop what it replaces, name a chat that has no name."""
    chat = turn.chat
    named = rules.title_from(turn.question.content) if chat.title == rules.UNTITLED else chat.title
    chats.update(replace(chat, title=named, updated_ms=turn.question.created_ms))
    chats.add(chat.account_id, chat.chat_id, turn.question)
    chats.remove(chat.account_id, chat.chat_id, turn.replaced)


def end_turn(turn: Turn, answer: ChatMessage, *, chats: ChatStore) -> None:
    """Keep the answer, whole or as far as it came; not in a chat that was deleted meanwhile."""
    if chats.get(turn.chat.account_id, turn.chat.chat_id) is not None:
        chats.add(turn.chat.account_id, turn.chat.chat_id, answer)
