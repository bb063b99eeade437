"""What the two dialects of named events share, Responses and Anthropic's Messages: an assembly makes their events."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

Event = dict[str, Any]


class Assembles(Protocol):
    """An answer while it is generated. Each method returns the events to send."""

    def chunk(self, chunk: Mapping[str, Any]) -> list[Event]: ...

    def end(self) -> list[Event]:
        """After the last chunk."""


Assembly = TypeVar("Assembly", bound=Assembles)


class NamedEvents(ABC, Generic[Assembly]):
    """The part of `streaming.Dialect` that is the same in both."""

    include_usage = True  # both always tell it

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        self._begun = False

    @abstractmethod
    def opening(self) -> list[Event]:
        """The events before those of the first chunk."""

    def passed(self, payload: bytes) -> bytes:
        return encode(self.events([payload]))

    def ending(self, held: list[bytes]) -> bytes:
        return encode([*self.events(held), *self.assembly.end()])

    def events(self, payloads: Iterable[bytes] = ()) -> list[Event]:
        """Those of the chunks, after the opening ones if they were not sent yet."""
        events = [] if self._begun else self.opening()
        self._begun = True
        for payload in payloads:
            events += self.assembly.chunk(json.loads(payload))
        return events


def encode(events: Iterable[Mapping[str, Any]]) -> bytes:
    """Each event's `type` is its name, too."""
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
        for event in events
    )
