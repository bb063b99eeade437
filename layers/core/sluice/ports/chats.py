"""The playground's chats."""

from __future__ import annotations  # a port is imported without the domain that it speaks of (ADR 85)

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluice.domain.chats.chat import Chat, ChatMessage, Place


class ChatStore(Protocol):
    """Chats of the playground. Every method may raise StoreUnavailable; reads are consistent."""

    def put(self, chat: Chat) -> None:
        """Errors: LimitReached."""

    def get(self, account_id: str, chat_id: str) -> Chat | None: ...

    def page(self, account_id: str, limit: int, after: Place | None) -> tuple[list[Chat], Place | None]:
        """Last used first, from behind `after`, and where the next page begins. A chat of the last second may be
        missing; one that is used meanwhile moves to the front."""

    def change(
        self, account_id: str, chat_id: str, changes: Mapping[str, Any], was: Mapping[str, Any] | None = None
    ) -> Chat | None:
        """Write these fields only. → the chat; None where there is none or its fields are not those of `was`."""

    def turn(
        self,
        account_id: str,
        chat_id: str,
        changes: Mapping[str, Any],
        was: Mapping[str, Any],
        add: ChatMessage | None = None,
        drop: str | None = None,
    ) -> bool:
        """The same, together with a message that is added, and one that is deleted."""

    def delete(self, account_id: str, chat_id: str) -> None:
        """Delete a chat with its messages. A missing chat is no error."""

    def messages(self, account_id: str, chat_id: str) -> list[ChatMessage]:
        """Oldest first."""

    def add(self, account_id: str, chat_id: str, *messages: ChatMessage) -> None:
        """Errors: NotFound (no such chat). Of many messages some may be kept before an error."""
