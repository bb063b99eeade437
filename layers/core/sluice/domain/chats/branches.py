"""The branches of a chat. Its messages form a tree, because an edit or another answer keeps what was there:

question ─┬─ answer                       one path from the beginning to a leaf is shown
          └─ answer ─┬─ question ── …
                     └─ question ── …     siblings follow the same message
"""

from collections.abc import Sequence
from functools import cached_property

from sluice.domain.chats.chat import BEGINNING, ChatMessage


class Branches:
    """`messages`: all of a chat, oldest first. `shown`: a message that the shown path passes, None for the newest."""

    def __init__(self, messages: Sequence[ChatMessage], shown: str | None) -> None:
        self.messages = messages
        self._by_id = {message.message_id: message for message in messages}
        self._parents: dict[str, str] = {}
        self._children: dict[str, list[ChatMessage]] = {}
        previous = BEGINNING
        for message in messages:
            parent = previous if message.parent_id is None else message.parent_id
            self._parents[message.message_id] = parent
            self._children.setdefault(parent, []).append(message)
            previous = message.message_id
        self._shown = self._by_id.get(shown or "") or (messages[-1] if messages else None)

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._by_id

    def get(self, message_id: str | None) -> ChatMessage | None:
        return self._by_id.get(message_id or "")

    @cached_property
    def path(self) -> list[ChatMessage]:
        """What is shown: through the chosen message, then each time the newest that follows."""
        if self._shown is None:
            return []
        path = [*self.before(self._shown), self._shown]
        while following := self._children.get(path[-1].message_id):
            path.append(following[-1])
        return path

    @property
    def others(self) -> list[ChatMessage]:
        """What is not shown, oldest first."""
        shown = {message.message_id for message in self.path}
        return [message for message in self.messages if message.message_id not in shown]

    def before(self, message: ChatMessage) -> list[ChatMessage]:
        """The messages that lead to this one."""
        found: list[ChatMessage] = []
        while (parent := self.parent(found[-1] if found else message)) is not None:
            found.append(parent)
        return found[::-1]

    def parent(self, message: ChatMessage) -> ChatMessage | None:
        return self._by_id.get(self._parents[message.message_id])

    def siblings(self, message: ChatMessage) -> list[ChatMessage]:
        """Those that follow the same message, itself among them, oldest first."""
        return self._children[self._parents[message.message_id]]

    def beside(self, message: ChatMessage, step: int) -> ChatMessage | None:
        """The sibling `step` places after this one."""
        siblings = self.siblings(message)
        place = siblings.index(message) + step
        return siblings[place] if 0 <= place < len(siblings) else None

    def to_follow(self) -> list[ChatMessage]:
        """What a new question follows: the shown path, without a question at its end. Such a question waits for its
        answer, or never gets one; either would come between the new question and its own answer."""
        path = list(self.path)
        while path and path[-1].role == "user":
            path.pop()
        return path
