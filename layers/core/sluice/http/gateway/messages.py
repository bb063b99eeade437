"""Parts of `/v1` requests: messages, tools, answer formats; and an upper bound of their model tokens."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    field_validator,
    model_validator,
)

from sluice.domain.gateway import images
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
    messages, seen = images.without(chat["messages"])
    texts = (json.dumps(part, ensure_ascii=False) for part in (*messages, *tools))
    return bound(texts) + (TOOLS_TOKENS if tools else 0) + images.IMAGE_TOKENS * seen


class OtherTool(Loose):
    """A tool of a type that no model here can use. It is left out, and the answer's header says so."""

    type: str = Field(pattern=r"^[a-z0-9_.-]{1,64}$")


class TextPart(Loose):
    """Text, or the refusal of an earlier answer, which counts as its text."""

    type: Literal["text", "input_text", "output_text", "refusal"]
    text: Text = Field(validation_alias=AliasChoices("text", "refusal"))

    @field_validator("type", mode="before")
    @classmethod
    def _text_only(cls, kind: Any) -> Any:
        if isinstance(kind, str) and kind not in ("text", "input_text", "output_text", "refusal"):
            raise ValueError(images.TEXT_ONLY)
        return kind


class ImageUrl(Loose):
    url: Text = Field(description="`data:image/…;base64,…`, or an https address, which the model server fetches")
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Loose):
    """Only for models with the capability `vision`."""

    type: Literal["image_url"]
    image_url: ImageUrl


def _part_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "-image" if kind == "image_url" else "-text"


Part = Annotated[Annotated[TextPart, Tag("-text")] | Annotated[ImagePart, Tag("-image")], Discriminator(_part_kind)]
Parts = Annotated[list[Part], Field(max_length=MAX_PARTS, fail_fast=True)]
TextParts = Annotated[list[TextPart], Field(max_length=MAX_PARTS, fail_fast=True)]


def _as_json(arguments: Any) -> Any:
    return json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, dict) else arguments


class FunctionCall(Loose):
    name: FunctionName
    arguments: Annotated[Text, BeforeValidator(_as_json)] = Field(description="JSON; an object is taken, too")


class ToolCall(Loose):
    id: Id | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Loose):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | Parts | None = None
    name: Id | None = None
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True)] | None = Field(None, max_length=128)
    tool_call_id: Id | None = None
    refusal: Text | None = Field(None, description="of an earlier answer without content")
    function_call: FunctionCall | None = Field(None, description="old form of `tool_calls`")
    reasoning_content: Text | None = Field(None, description="of an earlier answer; its chat template may show it")

    @model_validator(mode="after")
    def _has_content(self) -> "Message":
        earlier = self.role == "assistant" and (self.refusal is not None or self.tool_calls is not None)
        calls = self.tool_calls or self.function_call
        if self.content is None and not calls and not earlier and self.role != "function":
            raise ValueError("content is required")
        if self.tool_calls and self.function_call:
            raise ValueError("give tool_calls or function_call, not both")
        return self

    @property
    def images(self) -> list[tuple[int, ImagePart]]:
        """Each with its place in the content."""
        if not isinstance(self.content, list):
            return []
        return [(place, part) for place, part in enumerate(self.content) if isinstance(part, ImagePart)]

    @property
    def text(self) -> str | None:
        content = self.content
        if isinstance(content, list):
            return "".join(part.text for part in content if isinstance(part, TextPart))
        return content if content is not None or self.tool_calls else self.refusal or ""

    def forwarded(self) -> dict[str, Any]:
        """The engine's form: content is one string, or parts if there are images; `developer` becomes `system`."""
        content: Any = self.text
        if isinstance(self.content, list) and self.images:
            content = [
                part.model_dump(exclude_none=True)
                if isinstance(part, ImagePart)
                else {"type": "text", "text": part.text}
                for part in self.content
            ]
        message: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": content}
        for name in ("name", "tool_call_id", "reasoning_content"):
            if (value := getattr(self, name)) is not None:
                message[name] = value
        if self.tool_calls:
            message["tool_calls"] = [call.model_dump(exclude_none=True) for call in self.tool_calls]
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


class AllowedFunctions(Loose):
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=128, fail_fast=True)]


class AllowedChatTools(Loose):
    """Only these of the request's tools."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedFunctions


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
