"""A scripted model server. Each step is an event's bytes, a number of seconds to wait, or an error to raise."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sluice.domain.errors import ModelUnavailable
from sluice.ports.gateway import UpstreamCall


class FakeClock:
    """Unix time in ns, which the test advances."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def pass_seconds(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1_000_000_000)


Step = bytes | Exception | Callable[[], None]


class FakeStream:
    """Counts a completion token for each chunk with content, and `prompt_tokens` from the start."""

    def __init__(self, steps: Sequence[Step], prompt_tokens: int = 10) -> None:
        self._steps = steps
        self.prompt_tokens, self.completion_tokens, self.cached_tokens = prompt_tokens, 0, 0
        self.closed = self.estimated = False

    def __iter__(self) -> Iterator[bytes]:
        for step in self._steps:
            if isinstance(step, Exception):
                raise step
            if callable(step):
                step()
                continue
            if b'"content":"' in step:
                self.completion_tokens += 1
            yield step

    def close(self) -> None:
        self.closed = True


class FakeUpstream:
    def __init__(self, *steps: Step, down: bool = False) -> None:
        self.steps, self.down = steps, down
        self.capabilities = ["chat", "completions"]
        self.owner, self.context_window, self.counted = "sluice", 512, 10
        self.calls: list[UpstreamCall] = []
        self.streams: list[FakeStream] = []

    def open(self, call: UpstreamCall) -> FakeStream:
        self.calls.append(call)
        if self.down:
            raise ModelUnavailable()
        self.streams.append(FakeStream(self.steps))
        return self.streams[-1]

    def fetch(self, call: UpstreamCall) -> dict[str, Any]:
        self.calls.append(call)
        if self.down:
            raise ModelUnavailable()
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        data = [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}]
        return {"object": "list", "data": data, "model": "demo", "usage": usage}

    def count(self, call: UpstreamCall) -> int:
        self.calls.append(call)
        if self.down:
            raise ModelUnavailable()
        return self.counted

    def models(self) -> list[dict[str, Any]]:
        if self.down:
            raise ModelUnavailable()
        return [
            {
                "id": "demo",
                "object": "model",
                "owned_by": self.owner,
                "context_window": self.context_window,
                "capabilities": self.capabilities,
            }
        ]


def chunk(text: str | None = None, reason: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    body = {"id": "chatcmpl-x", "object": "chat.completion.chunk", "created": 1, "model": "demo", "choices": [choice]}
    return json.dumps(body, separators=(",", ":")).encode()


def usage_chunk(prompt: int, completion: int) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    body = {"id": "chatcmpl-x", "object": "chat.completion.chunk", "created": 1, "choices": [], "usage": usage}
    return json.dumps(body, separators=(",", ":")).encode()
