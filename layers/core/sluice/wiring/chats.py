"""Chats: the use case, bound to its store once a process."""

from __future__ import annotations  # only a function that serves the use case imports it

from functools import cache
from typing import TYPE_CHECKING

from sluice.wiring import stores

if TYPE_CHECKING:
    from sluice.services.chats import Chats


@cache
def chats() -> Chats:
    from sluice.services.chats import Chats

    return Chats(stores.chat_store())
