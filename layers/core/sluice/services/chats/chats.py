"""Chats: make, list, read, rename, delete."""

from collections.abc import Callable, Mapping, Sequence
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
ATTEMPTS = 10  # to change a list that others change, too


def new_chat(account_id: str, now_ms: int) -> Chat:
    """Not stored yet."""
    return Chat(account_id, random_id("chat_"), rules.UNTITLED, None, None, now_ms, now_ms)


def no_chat() -> NotFound:
    return NotFound("There is no such chat.")


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
        chat = replace(new_chat(account_id, now_ms), **given)  # type: ignore[arg-type]
        self.chats.put(chat)
        return chat

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
            raise no_chat()
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

    def update(self, account_id: str, chat_id: str, changes: Changes, now_ms: int | None = None) -> Chat:
        """`now_ms`: None, so that it keeps its place in the list, which is sorted by last use. Errors also:
        ValidationFailed (`shown` is no message of the chat)."""
        chat, shown = self.get(account_id, chat_id), changes.get("shown")
        if shown is not None and not any(one.message_id == shown for one in self.chats.messages(account_id, chat_id)):
            raise ValidationFailed((FieldProblem("shown", "There is no such message in this chat."),))
        used = {} if now_ms is None else {"updated_ms": now_ms}
        if not (written := {**changes, **used}):
            return chat
        changed = self.chats.change(account_id, chat_id, written)
        if changed is None:
            raise no_chat()
        return changed

    def with_room(self, chat: Chat, is_there: Callable[[str], bool]) -> list[str]:
        """Its files, fewer than it may have: of a full chat those that are still there. Errors: LimitReached."""
        if len(files := list(chat.files)) >= rules.MOST_FILES:
            files = [one for one in files if is_there(one)]
        if len(files) >= rules.MOST_FILES:
            raise LimitReached(f"A chat has at most {rules.MOST_FILES} files. Take one out first.")
        return files

    def attach(self, account_id: str, chat_id: str, file_id: str, is_there: Callable[[str], bool]) -> None:
        """`is_there`: whether a document still exists. Errors also: LimitReached."""
        self._list(
            account_id,
            chat_id,
            lambda chat: list(chat.files) if file_id in chat.files else [*self.with_room(chat, is_there), file_id],
        )

    def detach(self, account_id: str, chat_id: str, file_id: str) -> None:
        """The document itself stays. Errors: NotFound (also of a file that the chat has not)."""

        def without(chat: Chat) -> list[str]:
            if file_id not in chat.files:
                raise NotFound()
            return [one for one in chat.files if one != file_id]

        self._list(account_id, chat_id, without)

    def _list(self, account_id: str, chat_id: str, wanted: Callable[[Chat], list[str]]) -> None:
        for _ in range(ATTEMPTS):
            chat = self.get(account_id, chat_id)
            files = wanted(chat)
            if files == list(chat.files):
                return
            if self.chats.change(account_id, chat_id, {"files": files}, was={"files": list(chat.files)}):
                return
        raise StoreUnavailable()  # others change it faster than this

    def delete(self, account_id: str, chat_id: str) -> None:
        self.get(account_id, chat_id)
        self.chats.delete(account_id, chat_id)
