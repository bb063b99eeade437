"""Answers of `/v1/messages` as the OpenAPI document shows them; written by `sluice.domain.gateway.anthropic`."""

from typing import Any, ClassVar, Literal

from sluice.http.gateway.answers import Open
from sluice.http.lazy_model import BaseModel


class AnthropicError(Open):
    """Anthropic's envelope, from which its SDKs raise their own exception classes."""

    type: Literal["error"]
    error: dict[str, Any]
    request_id: str


class ContentBlock(Open):
    type: Literal["text", "tool_use", "thinking"]


class MessageUsage(Open):
    """Exact: the engine's own counts."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class MessageEvent(Open):
    """One event of a streamed message; `event:` and `type` say which kind."""

    type: Literal[
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    ]


class AnthropicMessage(Open):
    streamed: ClassVar[type[BaseModel]] = MessageEvent

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[ContentBlock]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]
    stop_sequence: str | None
    usage: MessageUsage


class TokenCount(Open):
    input_tokens: int
