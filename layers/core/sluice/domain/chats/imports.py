"""An exported chat becomes another one: its messages keep their order and their tree, and get ids of this moment."""

from collections.abc import Sequence
from dataclasses import replace

from sluice.domain.chats.chat import BEGINNING, ChatMessage, message_id
from sluice.domain.errors import ValidationFailed

MOST_BYTES = 400_000  # of a message's texts, because an item of the store may have 400 KB


def renewed(messages: Sequence[ChatMessage], now_ms: int) -> dict[str, ChatMessage]:
    """By their former ids, oldest first. A `parent_id` of None stands for the message before, as in a `Branches`.

    Errors: ValidationFailed, with a message (no tree, or a message that cannot be stored)."""
    ordered = sorted(messages, key=lambda one: one.message_id)
    before = [BEGINNING, *(one.message_id for one in ordered)]
    parents = {
        one.message_id: previous if one.parent_id is None else one.parent_id
        for one, previous in zip(ordered, before, strict=False)
    }
    _check(ordered, parents)
    first_ms = now_ms - len(ordered)
    ids = {one.message_id: message_id(first_ms + place) for place, one in enumerate(ordered)}
    ids[BEGINNING] = BEGINNING
    return {
        former: replace(one, message_id=ids[former], parent_id=ids[parents[former]])
        for one in ordered
        if (former := one.message_id)
    }


def _check(messages: Sequence[ChatMessage], parents: dict[str, str]) -> None:
    if len(parents) < len(messages):
        raise _no("two messages have the same id")
    for message in messages:
        if parents[message.message_id] not in (BEGINNING, *parents):
            raise _no("a message follows one that is not in it")
        texts = [message.content, message.reasoning or "", *(one.filename for one in message.citations or ())]
        if sum(len(text.encode()) for text in texts) > MOST_BYTES:
            raise _no("a message in it is too long")
    rooted = {BEGINNING}
    for one in parents:
        way: dict[str, None] = {}
        while one not in rooted:
            if one in way:
                raise _no("its messages follow each other in a circle")
            way[one] = None
            one = parents[one]
        rooted.update(way)


def _no(why: str) -> ValidationFailed:
    return ValidationFailed(message=f"This file cannot be imported: {why}.")
