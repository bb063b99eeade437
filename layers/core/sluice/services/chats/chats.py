"""Chats: make, list, read, rename, delete."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from sluice.domain.chats import chat as rules
from sluice.domain.chats.branches import Branches
from sluice.domain.chats.chat import Chat, ChatMessage
from sluice.domain.chats.imports import renewed
from sluice.domain.errors import FieldProblem, LimitReached, NotFound, StoreUnavailable, ValidationFailed
from sluice.domain.ids import is_id, random_id
from sluice.ports.chats import ChatStore
from sluice.services.cursors import cursor, position

Changes = Mapping[str, str | int | float | None]  # of a chat's fields, as far as given

LIST = "chats"
RECENT = 20  # chats, among which an unused one is looked for


@dataclass(frozen=True)
class ChatPage:
    chats: list[Chat]
    next_cursor: str | None


@dataclass(frozen=True)
class Chats:
    """Errors of all: StoreUnavailable; and of those that name a chat: NotFound, also for another's."""

    chats: ChatStore

    def create(self, account_id: str, given: Changes, now_ms: int) -> Chat:
        """Errors also: LimitReached."""
        chat = Chat(account_id, random_id("chat_"), rules.UNTITLED, None, None, now_ms, now_ms)
        chat = replace(chat, **given)  # type: ignore[arg-type]
        self.chats.put(chat)
        return chat

    def begin(self, account_id: str, now_ms: int) -> Chat:
        """One of the last used chats without messages and settings, or a new one. Errors also: LimitReached."""
        for chat in self.chats.page(account_id, RECENT, None)[0]:
            if rules.is_as_made(chat) and not self.branches(chat).messages:
                return chat
        return self.create(account_id, {}, now_ms)

    def bring(self, account_id: str, given: Changes, messages: Sequence[ChatMessage], shown: str, now_ms: int) -> Chat:
        """A chat with these messages, or none. `shown`: the former id of one, or "". Errors also: LimitReached,
        ValidationFailed, NotFound (deleted meanwhile)."""
        kept = renewed(messages, now_ms)
        showing = {"shown": kept[shown].message_id} if shown else {}
        chat = self.create(account_id, {**given, **showing}, now_ms)
        try:
            self.chats.add(account_id, chat.chat_id, *kept.values())
        except StoreUnavailable:
            with suppress(StoreUnavailable):
                self.chats.delete(account_id, chat.chat_id)
            raise
        return chat

    def page(self, account_id: str, limit: int, after: str | None = None) -> ChatPage:
        """Last used first. Errors also: ValidationFailed (a malformed cursor)."""
        used_ms, chat_id = position(LIST, after, 2) if after else ("", "")
        if after and not (used_ms.isdecimal() and len(used_ms) <= 15 and is_id("chat_", chat_id)):
            raise ValidationFailed((FieldProblem("cursor", "This is no `next_cursor` of this list."),))
        found, following = self.chats.page(account_id, limit, (int(used_ms), chat_id) if after else None)
        return ChatPage(found, cursor(LIST, str(following[0]), following[1]) if following else None)

    def named(self, account_id: str, words: str, limit: int) -> ChatPage:
        """Those with these words in their title, last used first."""
        every, _ = self.chats.page(account_id, rules.MOST_CHATS, None)
        return ChatPage([chat for chat in every if words.casefold() in chat.title.casefold()][:limit], None)

    def get(self, account_id: str, chat_id: str) -> Chat:
        chat = self.chats.get(account_id, chat_id)
        if chat is None:
            raise NotFound("There is no such chat.")
        return chat

    def branches(self, chat: Chat) -> Branches:
        """Its messages."""
        return Branches(self.chats.messages(chat.account_id, chat.chat_id), chat.shown)

    def question(self, account_id: str, chat_id: str, message_id: str) -> str:
        """What an own message says, to ask it once more. Errors: ValidationFailed."""
        for message in self.chats.messages(account_id, chat_id):
            if message.message_id == message_id and message.role == "user":
                return message.content
        raise ValidationFailed((FieldProblem("replaces", "There is no such message of yours in this chat."),))

    def update(self, account_id: str, chat_id: str, changes: Changes, now_ms: int) -> Chat:
        """Errors also: ValidationFailed (`shown` is no message of the chat)."""
        shown = changes.get("shown")
        if shown is not None and not any(one.message_id == shown for one in self.chats.messages(account_id, chat_id)):
            raise ValidationFailed((FieldProblem("shown", "There is no such message in this chat."),))
        chat = replace(self.get(account_id, chat_id), **changes, updated_ms=now_ms)  # type: ignore[arg-type]
        self.chats.update(chat)
        return chat

    def check_room(self, chat: Chat) -> None:
        """For one more file. Errors: LimitReached."""
        if len(chat.files) >= rules.MOST_FILES:
            raise LimitReached(f"A chat has at most {rules.MOST_FILES} files. Take one out first.")

    def attach(self, account_id: str, chat_id: str, file_id: str) -> None:
        """Errors also: LimitReached."""
        chat = self.get(account_id, chat_id)
        if file_id not in chat.files:
            self.check_room(chat)
            self.chats.update(replace(chat, files=[*chat.files, file_id]))

    def detach(self, account_id: str, chat_id: str, file_id: str) -> None:
        """The document itself stays."""
        chat = self.get(account_id, chat_id)
        self.chats.update(replace(chat, files=[one for one in chat.files if one != file_id]))

    def delete(self, account_id: str, chat_id: str) -> None:
        self.get(account_id, chat_id)
        self.chats.delete(account_id, chat_id)
