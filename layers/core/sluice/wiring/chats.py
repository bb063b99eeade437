"""Chats: the use case, bound to its store once a process."""

from __future__ import annotations  # the use case is imported by the function that serves it, and by no other

from functools import cache
from typing import TYPE_CHECKING

from sluice.wiring import stores

if TYPE_CHECKING:
    from sluice.services.chats import Chats


@cache
def chats() -> Chats:
    from sluice.services.chats import Chats

    return Chats(stores.chat_store())
