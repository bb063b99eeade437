"""Parts of `/v1` requests: messages, tools, answer formats; and an upper bound of their model tokens."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from sluice.http.fields import Id, Loose, Text

# What chat templates add: around each message (role, begin, end), and once to explain tools and their format.
MESSAGE_TOKENS = 8
TOOLS_TOKENS = 300
MAX_PARTS = 4096  # of one message
FunctionName = Annotated[str, Field(max_length=64)]


def bound(texts: Iterable[str | None], per_text: int = MESSAGE_TOKENS) -> int:
    """An upper bound of model tokens. Each token stands for a byte or more; a template adds a few to each text."""
    return sum(len(text.encode()) + per_text for text in texts if text is not None)


def chat_bound(chat: Mapping[str, Any]) -> int:
    """An upper bound of the model tokens of a chat request's messages and tools."""
    tools = chat.get("tools", [])
    texts = (json.dumps(part, ensure_ascii=False) for part in (*chat["messages"], *tools))
    return bound(texts) + (TOOLS_TOKENS if tools else 0)


class OtherTool(Loose):
    """A tool of a type that no model here can use. It is left out, and the answer's header says so."""

    type: str = Field(pattern=r"^[a-z0-9_.-]{1,64}$")


class TextPart(Loose):
    type: Literal["text", "input_text", "output_text"]
    text: Text

    @field_validator("type", mode="before")
    @classmethod
    def _text_only(cls, kind: Any) -> Any:
        if isinstance(kind, str) and kind not in ("text", "input_text", "output_text"):
            raise ValueError("this model takes text only")
        return kind


TextParts = Annotated[list[TextPart], Field(max_length=MAX_PARTS, fail_fast=True)]


class FunctionCall(Loose):
    name: FunctionName
    arguments: Text


class ToolCall(Loose):
    id: Id
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Loose):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | TextParts | None = None
    name: Id | None = None
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True)] | None = Field(None, max_length=128)
    tool_call_id: Id | None = None

    @model_validator(mode="after")
    def _has_content(self) -> "Message":
        if self.content is None and not self.tool_calls:
            raise ValueError("content is required")
        return self

    def forwarded(self) -> dict[str, Any]:
        """The engine's form: content is one string, and the role `developer` becomes `system`."""
        content = self.content
        if isinstance(content, list):
            content = "".join(part.text for part in content)
        message: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": content}
        message |= self.model_dump(include={"name", "tool_calls", "tool_call_id"}, exclude_none=True)
        return message


class FunctionDefinition(Loose):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: Text | None = None
    parameters: dict[str, JsonValue] | None = None
    strict: bool | None = None


class Tool(Loose):
    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(Loose):
    name: FunctionName


class NamedTool(Loose):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Loose):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: Text | None = None
    schema_: dict[str, JsonValue] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Loose):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_schema(self) -> "ResponseFormat":
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is required with this type")
        return self
