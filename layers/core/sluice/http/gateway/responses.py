"""The Responses dialect of a chat stream: named, numbered events around the same chunks."""

from collections.abc import Callable, Iterable
from typing import Any

from sluice.domain.errors import SluiceError
from sluice.domain.gateway.responses import Assembly, Event
from sluice.http.errors import openai_envelope
from sluice.http.gateway.named_events import NamedEvents, encode
from sluice.http.gateway.streaming import DONE, OpenAIDialect


class ResponsesDialect(NamedEvents[Assembly], OpenAIDialect):
    """`on_complete` is called with the finished response before its last events are handed over."""

    def __init__(self, assembly: Assembly, on_complete: Callable[[Assembly], object]) -> None:
        super().__init__(assembly)
        self._on_complete = on_complete

    def opening(self) -> list[Event]:
        return self.assembly.begin()

    def ending(self, held: list[bytes]) -> bytes:
        events = [*self.events(held), *self.assembly.end()]
        self._on_complete(self.assembly)
        return encode(events) + DONE

    def failed(self, error: SluiceError) -> bytes:
        """Codex CLI reads `response.failed`, OpenAI's SDKs read the event after it."""
        told = openai_envelope(error)["error"]
        code = "server_error" if told["type"] == "server_error" else told["code"] or told["type"]
        return encode(self.events() + self.assembly.fail(code, told["message"])) + super().failed(error)

    def whole(self, payloads: Iterable[bytes]) -> dict[str, Any]:
        self.ending(list(payloads))
        return self.assembly.response
