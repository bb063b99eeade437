"""Server-sent events as the gateway expects them: a usage comment before each data event, and pings."""

import json
from typing import Any

PING = b": ping\n"
DONE = b"data: [DONE]\n\n"


def compact(value: Any) -> str:
    """JSON without spaces, because the gateway searches it for exact strings."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def event(value: Any) -> bytes:
    """A data event."""
    return f"data: {compact(value)}\n\n".encode()


def counted(value: Any, prompt_tokens: int, completion_tokens: int, cached_tokens: int) -> bytes:
    """A data event after a comment with the token counts so far."""
    return counts(prompt_tokens, completion_tokens, cached_tokens) + event(value)


def counts(prompt_tokens: int, completion_tokens: int, cached_tokens: int) -> bytes:
    """The comment with the token counts so far."""
    return f": usage {prompt_tokens} {completion_tokens} {cached_tokens}\n".encode()
