"""Request models of `/v1/messages`: text and tool calls in, text and tool calls out."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Tag, field_validator

from sluice.domain.gateway.anthropic import chat_messages, image_url
from sluice.domain.gateway.images import TEXT_ONLY, Image
from sluice.http.fields import Flag, Id, Integer, Loose, Number, Text
from sluice.http.gateway.messages import MAX_PARTS, FunctionName, OtherTool
from sluice.http.gateway.requests import MAX_MESSAGES, Stop

MAX_STOPS = 16


class TextBlock(Loose):
    type: Literal["text"]
    text: Text


class ImageSource(Loose):
    type: Literal["base64", "url"]
    media_type: Id | None = None
    data: Text = ""
    url: Text = ""


class ImageBlock(Loose):
    """Only for models with the capability `vision`."""

    type: Literal["image"]
    source: ImageSource


class UnseenBlock(Loose):
    type: Literal["document"]

    @field_validator("type")
    @classmethod
    def _text_only(cls, kind: str) -> str:
        raise ValueError(TEXT_ONLY)


class ThoughtBlock(Loose):
    """The reasoning of an earlier answer, which is not sent to the model again."""

    type: Literal["thinking", "redacted_thinking"]


class ToolUseBlock(Loose):
    type: Literal["tool_use"]
    id: Id
    name: FunctionName
    input: dict[str, JsonValue]


Result = Annotated[TextBlock | ImageBlock | UnseenBlock, Field(discriminator="type")]


class ToolResultBlock(Loose):
    type: Literal["tool_result"]
    tool_use_id: Id
    content: Text | Annotated[list[Result], Field(max_length=MAX_PARTS, fail_fast=True)] | None = None


Block = Annotated[
    TextBlock | ImageBlock | UnseenBlock | ThoughtBlock | ToolUseBlock | ToolResultBlock, Field(discriminator="type")
]


class Turn(Loose):
    role: Literal["user", "assistant", "system"]
    content: Text | Annotated[list[Block], Field(max_length=MAX_PARTS, fail_fast=True)]


class OwnTool(Loose):
    type: Literal["custom"] | None = None
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: Text | None = None
    input_schema: dict[str, JsonValue]


def _tool_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "own" if kind in (None, "custom") else "other"


AnyTool = Annotated[Annotated[OwnTool, Tag("own")] | Annotated[OtherTool, Tag("other")], Discriminator(_tool_kind)]


class ToolChoice(Loose):
    type: Literal["auto", "any", "tool", "none"]
    name: FunctionName | None = None
    disable_parallel_tool_use: Flag | None = None


class Thinking(Loose):
    type: Literal["enabled", "adaptive", "disabled"]


class OutputFormat(Loose):
    type: Literal["json_schema"]
    schema_: dict[str, JsonValue] = Field(alias="schema")


class OutputConfig(Loose):
    format: OutputFormat | None = None


class CountTokensBody(Loose):
    model: str = Field(min_length=1, max_length=256)
    messages: Annotated[list[Turn], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    system: Text | Annotated[list[TextBlock], Field(max_length=MAX_PARTS, fail_fast=True)] | None = None
    tools: Annotated[list[AnyTool], Field(fail_fast=True)] | None = Field(None, max_length=128)
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None

    @property
    def own_tools(self) -> list[OwnTool]:
        """The tools that the model may call."""
        return [tool for tool in self.tools or [] if isinstance(tool, OwnTool)]

    @property
    def images(self) -> list[Image]:
        return [image for turn, one in enumerate(self.messages) for image in _images(f"messages[{turn}]", one.content)]

    @property
    def ignored(self) -> list[str]:
        return [tool.type for tool in self.tools or [] if isinstance(tool, OtherTool)]

    def chat(self) -> dict[str, Any]:
        """The chat request for these messages and tools."""
        system = self.system if self.system is None or isinstance(self.system, str) else _dumped(self.system)
        chat: dict[str, Any] = {"model": self.model, "messages": chat_messages(system, _dumped(self.messages))}
        if self.own_tools:
            chat["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description or "",
                        "parameters": tool.input_schema,
                    },
                }
                for tool in self.own_tools
            ]
            chat |= self._choice()
        if self.output_config and self.output_config.format:
            schema = {"name": "answer", "schema": self.output_config.format.schema_, "strict": True}
            chat["response_format"] = {"type": "json_schema", "json_schema": schema}
        return chat

    def _choice(self) -> dict[str, Any]:
        choice = self.tool_choice
        if choice is None:
            return {}
        named = {"type": "function", "function": {"name": choice.name or ""}}
        wanted: dict[str, Any] = {"tool_choice": {"any": "required", "tool": named}.get(choice.type, choice.type)}
        return wanted | ({"parallel_tool_calls": False} if choice.disable_parallel_tool_use else {})


class MessagesBody(CountTokensBody):
    max_tokens: Annotated[Integer, Field(ge=1)]
    stream: Flag | None = None
    stop_sequences: Annotated[list[Stop], Field(max_length=MAX_STOPS, fail_fast=True)] | None = None
    temperature: Annotated[Number, Field(ge=0, le=1)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    top_k: Annotated[Integer, Field(ge=0, le=1000)] | None = None

    @property
    def thinks(self) -> bool:
        return self.thinking is not None and self.thinking.type != "disabled"

    def chat(self) -> dict[str, Any]:
        sampling = self.model_dump(include={"temperature", "top_p", "top_k"}, exclude_none=True)
        return {**super().chat(), **sampling, **({"stop": self.stop_sequences} if self.stop_sequences else {})}


def _images(place: str, content: Any) -> Iterator[Image]:
    """Also those in tool results."""
    for number, block in enumerate(content if isinstance(content, list) else []):
        at = f"{place}.content[{number}]"
        if isinstance(block, ImageBlock):
            yield Image(at, "source", image_url(block.source.model_dump()))
        elif isinstance(block, ToolResultBlock):
            yield from _images(at, block.content)


def _dumped(models: Any) -> list[dict[str, Any]]:
    return [model.model_dump() for model in models]
