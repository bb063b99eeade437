"""The use cases of chats, each bound to its store once a process."""

from __future__ import annotations  # the use cases are imported by the functions that serve them, and by no other

from functools import cache
from typing import TYPE_CHECKING

from sluice.wiring import stores

if TYPE_CHECKING:
    from sluice.services.chats.chats import Chats
    from sluice.services.chats.turns import ChatTurns


@cache
def chats() -> Chats:
    from sluice.services.chats.chats import Chats

    return Chats(stores.chat_store())


@cache
def chat_turns() -> ChatTurns:
    from sluice.services.chats.turns import ChatTurns
    from sluice.wiring.gateway import gateway

    return ChatTurns(stores.chat_store(), gateway().now_ms)
