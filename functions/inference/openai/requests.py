"""Request bodies of the OpenAI API: the supported fields and their limits. Unknown fields are ignored."""

from typing import Annotated, Any, Literal, TypeVar

import pydantic_core
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

from functions.inference.errors import InvalidJson, InvalidRequest
from functions.inference.openai import json_bounds

Finite = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=1_000_000)]
Id = Annotated[str, Field(max_length=512)]
StopText = Annotated[str, Field(max_length=256)]
Texts = Annotated[list[str], Field(fail_fast=True)]
TokenIds = Annotated[list[int], Field(fail_fast=True)]
ListsOfTokenIds = Annotated[list[TokenIds], Field(fail_fast=True)]
M = TypeVar("M", bound="Wire")
MAX_BUILT_FAULTS = 2048  # pydantic can only build all of them
MOST_COUNTED = 2048


class Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class TextPart(Wire):
    type: Literal["text", "input_text", "output_text", "refusal"]
    text: Text = ""

    @field_validator("type", mode="before")
    @classmethod
    def _text_only(cls, kind: Any) -> Any:
        if isinstance(kind, str) and kind not in ("text", "input_text", "output_text", "refusal"):
            raise ValueError("this model takes text only")
        return kind


class FunctionCall(Wire):
    name: Annotated[str, Field(max_length=64)]
    arguments: Text | dict[str, Any] = ""


class ToolCall(Wire):
    id: Id | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Wire):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Annotated[list[TextPart], Field(fail_fast=True)] | None = None
    name: Id | None = None
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True)] | None = None
    tool_call_id: Id | None = None
    refusal: Text | None = None
    reasoning_content: Text | None = None


class StreamOptions(Wire):
    include_usage: bool | None = None


class SamplingFields(Wire):
    """The fields that chat completions and completions share."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[Finite, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Finite, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    min_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    presence_penalty: Annotated[Finite, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Finite, Field(ge=-2, le=2)] | None = None
    repeat_penalty: Annotated[Finite, Field(gt=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=16, fail_fast=True)] | None = None
    n: Annotated[int, Field(ge=1, le=4)] | None = None
    logit_bias: Annotated[dict[str, Annotated[Finite, Field(ge=-100, le=100)]], Field(max_length=300)] | None = None


class FunctionSpec(Wire):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Wire):
    type: Literal["function"]
    function: FunctionSpec


class NamedFunction(Wire):
    name: Id


class NamedToolChoice(Wire):
    type: Literal["function"]
    function: NamedFunction


class ListedTool(Wire):
    type: Literal["function"]
    function: NamedFunction


class AllowedTools(Wire):
    mode: Literal["auto", "required"]
    tools: Annotated[list[ListedTool], Field(min_length=1, max_length=128, fail_fast=True)]


class AllowedToolChoice(Wire):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


class JsonSchemaFormat(Wire):
    model_config = ConfigDict(populate_by_name=True)

    name: Id | None = None
    json_schema: dict[str, Any] | bool | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Wire):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class ChatRequest(SamplingFields):
    messages: Annotated[list[Message], Field(min_length=1, max_length=4096, fail_fast=True)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=128, fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice | AllowedToolChoice | None = None
    parallel_tool_calls: bool | None = None


class CompletionRequest(SamplingFields):
    prompt: Text | Texts | TokenIds | ListsOfTokenIds
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    best_of: Annotated[int, Field(ge=1, le=1)] | None = None
    suffix: Text | None = None


class EmbeddingRequest(Wire):
    model: Annotated[str, Field(min_length=1, max_length=256)]
    input: Text | Texts | TokenIds | ListsOfTokenIds
    input_type: Literal["query", "passage"] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class TokenizeRequest(ChatRequest):
    """Either a text, or the messages and tools of a chat request, as vLLM has it; or many texts, of an embedding model,
    that are only counted."""

    messages: Annotated[list[Message], Field(max_length=4096, fail_fast=True)] = []
    text: Text = Field("", validation_alias=AliasChoices("prompt", "text"))
    texts: Annotated[list[Text], Field(max_length=MOST_COUNTED, fail_fast=True)] = []


def parse(model: type[M], body: bytes) -> M:
    """The parsed body. Raises InvalidJson, or InvalidRequest with the first wrong field in `param`."""
    if (fault := json_bounds.excess(body)) is not None:
        raise InvalidJson(fault)
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as exc:
        raise InvalidJson("The request body is not valid JSON.") from exc
    if not isinstance(value, dict):
        raise InvalidJson("The request body must be a JSON object.")
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        if (count := exc.error_count()) > MAX_BUILT_FAULTS:
            raise InvalidRequest(f"The body has {count:,} faults.") from exc
        found = exc.errors(include_url=False, include_input=False)
        path, message = json_bounds.located(found, value)[0]
        param = json_bounds.written(path)
        raise InvalidRequest(f"{param}: {message}" if param else message, param or None) from exc
