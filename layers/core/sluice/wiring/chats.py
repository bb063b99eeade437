"""The use cases of chats, each bound to its store once a process."""

from __future__ import annotations  # only the gateway imports the turns

from typing import TYPE_CHECKING

from sluice.once import once
from sluice.services.chats.chats import Chats
from sluice.wiring import stores

if TYPE_CHECKING:
    from sluice.services.chats.turns import ChatTurns


@once
def chats() -> Chats:
    return Chats(stores.chat_store())


@once
def chat_turns() -> ChatTurns:
    from sluice.services.chats.turns import ChatTurns
    from sluice.wiring import peers
    from sluice.wiring.runs import runs

    return ChatTurns(stores.chat_store(), runs(), peers.now_ms)
