"""The Responses dialect of a chat stream: named, numbered events around the same chunks."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sluice.domain.errors import SluiceError
from sluice.domain.gateway.responses import Assembly, Event
from sluice.http.errors import openai_envelope
from sluice.http.gateway.streaming import DONE, OpenAIDialect


class ResponsesDialect(OpenAIDialect):
    """`on_complete` is called with the finished response before its last events are handed over."""

    include_usage = True  # the response object always has its usage

    def __init__(self, assembly: Assembly, on_complete: Callable[[Assembly], None]) -> None:
        self._assembly, self._on_complete = assembly, on_complete
        self._begun = False

    def passed(self, payload: bytes) -> bytes:
        return encode(self._begin() + self._assembly.chunk(json.loads(payload)))

    def ending(self, held: list[bytes]) -> bytes:
        events = self._begin()
        for payload in held:
            events += self._assembly.chunk(json.loads(payload))
        events += self._assembly.end()
        self._on_complete(self._assembly)
        return encode(events) + DONE

    def failed(self, error: SluiceError) -> bytes:
        """Codex CLI reads `response.failed`, OpenAI's SDKs read the event after it."""
        told = openai_envelope(error)["error"]
        code = "server_error" if told["type"] == "server_error" else told["code"] or told["type"]
        return encode(self._begin() + self._assembly.fail(code, told["message"])) + super().failed(error)

    def whole(self, payloads: Iterable[bytes]) -> dict[str, Any]:
        self.ending(list(payloads))
        return self._assembly.response

    def _begin(self) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        return self._assembly.begin()


def encode(events: Iterable[Mapping[str, Any]]) -> bytes:
    """Each event's `type` is its name, too: in Anthropic's dialect as in this one."""
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
        for event in events
    )
