"""Answers of `/v1/responses` as the OpenAPI document shows them; written by `sluice.domain.gateway.responses`."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from sluice.http.gateway.answers import Open


class OutputItem(Open):
    """A message, a function call, the model's reasoning, or the search that was made before."""

    type: Literal["message", "function_call", "reasoning", "file_search_call"]
    id: str
    status: str


class ResponseEvent(Open):
    """One event of a streamed response; `event:` and `type` say which kind."""

    type: str = Field(description="`response.created`, `response.output_text.delta`, …, `response.completed`")
    sequence_number: int


class ResponseUsage(Open):
    """Exact: the engine's own counts."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class ResponseObject(Open):
    streamed: ClassVar[type[BaseModel]] = ResponseEvent

    id: str
    object: Literal["response"]
    created_at: int = Field(description="Unix seconds")
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    model: str
    output: list[OutputItem]
    usage: ResponseUsage | None
    error: dict[str, Any] | None
    incomplete_details: dict[str, Any] | None


class InputItem(Open):
    id: str
    type: Literal["message", "function_call", "function_call_output"]


class InputItems(Open):
    object: Literal["list"]
    data: list[InputItem]
    first_id: str | None
    last_id: str | None
    has_more: bool


class InputTokens(Open):
    object: Literal["response.input_tokens"]
    input_tokens: int


class DeletedResponse(Open):
    id: str
    object: Literal["response"]
    deleted: Literal[True]
