"""Request model of `POST /v1/responses`: text in, text and function calls out."""

import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Tag, field_validator

from sluice.domain.documents.retrieval import DEFAULT_TOP_K, MAX_STORES, Grounding
from sluice.domain.gateway.images import Image
from sluice.http.fields import Filtered, Flag, Id, Integer, Loose, Number, Text, Value
from sluice.http.gateway.messages import MAX_PARTS, FunctionDefinition, FunctionName, OtherTool, TextPart, TextParts
from sluice.http.gateway.requests import MAX_MESSAGES, Metadata

RESULTS, LOGPROBS = "file_search_call.results", "message.output_text.logprobs"  # of `include`


class InputImage(Loose):
    """Only for models with the capability `vision`."""

    type: Literal["input_image"]
    image_url: Text = Field(description="`data:image/…;base64,…`, or an https address, which the model server fetches")
    detail: Literal["auto", "low", "high"] | None = None


def _part_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "-image" if kind == "input_image" else "-text"


Part = Annotated[Annotated[TextPart, Tag("-text")] | Annotated[InputImage, Tag("-image")], Discriminator(_part_kind)]


class MessageItem(Loose):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Text | Annotated[list[Part], Field(max_length=MAX_PARTS, fail_fast=True)]

    @property
    def images(self) -> list[tuple[int, InputImage]]:
        """Each with its place in the content."""
        parts = self.content if isinstance(self.content, list) else []
        return [(place, part) for place, part in enumerate(parts) if isinstance(part, InputImage)]


class CallItem(Loose):
    type: Literal["function_call"]
    call_id: Id
    name: FunctionName
    arguments: Text


class CallOutputItem(Loose):
    type: Literal["function_call_output"]
    call_id: Id
    output: Text | TextParts


class UnreadItem(Loose):
    """A search or the reasoning of an earlier answer, sent back with it. The model does not read it again."""

    type: Literal["file_search_call", "reasoning"]


class ReferenceItem(Loose):
    """An item of a stored response, by its id."""

    type: Literal["item_reference"] = "item_reference"
    id: Id

    @field_validator("type", mode="before")
    @classmethod
    def _left_out(cls, kind: Any) -> Any:
        """The SDKs' type has it optional, and null too."""
        return "item_reference" if kind is None else kind


def _item_kind(value: Any) -> str:
    if not isinstance(value, dict):
        return getattr(value, "type", "message")
    kind = value.get("type") or ("item_reference" if "id" in value and "role" not in value else "message")
    return kind if isinstance(kind, str) else "message"


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[CallOutputItem, Tag("function_call_output")]
    | Annotated[UnreadItem, Tag("file_search_call")]
    | Annotated[UnreadItem, Tag("reasoning")]
    | Annotated[ReferenceItem, Tag("item_reference")],
    Discriminator(_item_kind),
]


class FunctionTool(FunctionDefinition):
    type: Literal["function"]


class FileSearchTool(Filtered):
    """Before the model is asked, one's own documents are searched for the user's last message. The API token needs the
    scope `files`."""

    type: Literal["file_search"]
    vector_store_ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(fail_fast=True)] = Field(
        min_length=1, max_length=MAX_STORES
    )
    max_num_results: Annotated[Integer, Field(ge=1, le=50)] | None = None


class NamedChoice(Loose):
    type: Literal["function"]
    name: FunctionName


class HostedChoice(Loose):
    type: Literal["file_search"]


class AllowedTools(Loose):
    """The model may call these functions only."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[dict[str, JsonValue]], Field(max_length=128)]

    def names(self) -> set[JsonValue]:
        return {tool.get("name") for tool in self.tools if isinstance(tool.get("name"), str)}


class TextFormat(Loose):
    type: Literal["text", "json_object", "json_schema"]
    name: FunctionName | None = None
    description: Text | None = None
    schema_: dict[str, JsonValue] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextOptions(Loose):
    format: TextFormat | None = None


def _tool_kind(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if not isinstance(kind, str):
        return None
    return kind if kind in ("function", "file_search") else "other"


AnyTool = Annotated[
    Annotated[FunctionTool, Tag("function")]
    | Annotated[FileSearchTool, Tag("file_search")]
    | Annotated[OtherTool, Tag("other")],
    Discriminator(_tool_kind),
]


class InputTokensBody(Loose):
    """What the count of a request's tokens reads."""

    model: str = Field(min_length=1, max_length=256)
    input: Text | Annotated[list[Item], Field(max_length=MAX_MESSAGES, fail_fast=True)]
    instructions: Text | None = None
    previous_response_id: str | None = Field(None, max_length=128)
    tools: Annotated[list[AnyTool], Field(fail_fast=True)] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | HostedChoice | AllowedTools | None = None
    parallel_tool_calls: Flag | None = None
    text: TextOptions | None = None

    @field_validator("tools")
    @classmethod
    def _one_search(cls, tools: list[FunctionTool | FileSearchTool | OtherTool] | None) -> Any:
        if sum(isinstance(tool, FileSearchTool) for tool in tools or []) > 1:
            raise ValueError("at most one file_search tool: it may name several vector stores")
        return tools

    @property
    def functions(self) -> list[FunctionTool]:
        """The tools that the model may call."""
        functions = [tool for tool in self.tools or [] if isinstance(tool, FunctionTool)]
        if isinstance(self.tool_choice, AllowedTools):
            return [tool for tool in functions if tool.name in self.tool_choice.names()]
        return functions

    @property
    def grounding(self) -> Grounding | None:
        """What to search before the model is asked: nothing for a count."""
        return None

    @property
    def images(self) -> list[Image]:
        items = self.input if isinstance(self.input, list) else []
        return [
            Image(f"input[{number}].content[{place}]", "image_url", part.image_url)
            for number, item in enumerate(items)
            if isinstance(item, MessageItem)
            for place, part in item.images
        ]

    @property
    def ignored(self) -> list[str]:
        """The types of the tools that are left out."""
        return [tool.type for tool in self.tools or [] if isinstance(tool, OtherTool)]

    def field_of(self, param: str | None) -> str | None:
        """The field here for a field of the chat request that `forwarded` makes."""
        if param is not None and param.startswith("messages"):
            return "input"
        if param is not None and param.startswith("response_format"):
            return "text.format"
        if param is not None and (tool := re.match(r"tools\[(\d+)\]\.function", param)):
            given = [index for index, one in enumerate(self.tools or []) if one in self.functions]
            return f"tools[{given[int(tool[1])]}]" + param[tool.end() :]
        return param

    def input_items(self) -> str | list[dict[str, Any]]:
        if isinstance(self.input, str):
            return self.input
        return [item.model_dump() for item in self.input]

    def forwarded(self) -> dict[str, Any]:
        """The fields of the chat request, except its messages."""
        chat: dict[str, Any] = self.model_dump(
            include={"model", "temperature", "top_p", "parallel_tool_calls"}, exclude_none=True
        )
        if self.functions:
            chat["tools"] = [
                {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}
                for tool in self.functions
            ]
        if isinstance(self.tool_choice, NamedChoice):
            chat["tool_choice"] = {"type": "function", "function": {"name": self.tool_choice.name}}
        elif isinstance(self.tool_choice, AllowedTools) and self.functions:
            chat["tool_choice"] = self.tool_choice.mode
        elif isinstance(self.tool_choice, str) and (self.functions or not self.tools):
            chat["tool_choice"] = self.tool_choice
        if self.text and self.text.format:
            chat["response_format"] = _chat_format(self.text.format)
        return chat


class ResponseBody(InputTokensBody):
    store: Flag | None = None
    stream: Flag | None = None
    background: Flag | None = Field(None, description="the answer goes on without the connection; needs `store`")
    max_output_tokens: Annotated[Integer, Field(ge=1)] | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    include: Annotated[list[Annotated[str, Field(max_length=128)]], Field(fail_fast=True)] | None = Field(
        None, max_length=20
    )
    top_logprobs: Annotated[Integer, Field(ge=0, le=20)] | None = None
    metadata: Metadata | None = None
    user: Value | None = None

    @property
    def stored(self) -> bool:
        return self.store is not False

    @property
    def grounding(self) -> Grounding | None:
        """What to search before the model is asked, because the model does not call this tool itself."""
        tool = next((tool for tool in self.tools or [] if isinstance(tool, FileSearchTool)), None)
        if tool is None or self.tool_choice == "none":
            return None
        top_k = tool.max_num_results or DEFAULT_TOP_K
        return Grounding(tool.vector_store_ids, top_k, filters=tool.wanted(), threshold=tool.threshold)

    @property
    def shows_results(self) -> bool:
        return RESULTS in (self.include or [])

    def forwarded(self) -> dict[str, Any]:
        if not self.top_logprobs and LOGPROBS not in (self.include or []):
            return super().forwarded()
        return {**super().forwarded(), "logprobs": True, "top_logprobs": self.top_logprobs or 0}

    def echoed(self) -> dict[str, Any]:
        """The request fields that the response object repeats."""
        text_format = self.text.format if self.text else None
        return {
            "background": self.background is True,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata or {},
            "model": self.model,
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "previous_response_id": self.previous_response_id,
            "reasoning": {"effort": None, "summary": None},
            "store": self.stored,
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "text": {
                "format": text_format.model_dump(by_alias=True, exclude_none=True) if text_format else {"type": "text"}
            },
            "tool_choice": self.tool_choice or "auto"
            if isinstance(self.tool_choice, str | None)
            else self.tool_choice.model_dump(),
            "tools": [tool.model_dump() for tool in self.tools or [] if not isinstance(tool, OtherTool)],
            "top_logprobs": self.top_logprobs or 0,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "truncation": "disabled",
            "user": self.user,
        }


class RetrieveQuery(Loose):
    stream: bool = Field(False, description="the response's events, also of one that has ended")
    starting_after: int | None = Field(None, ge=0, description="with `stream`: the `sequence_number` of the last event")


def _chat_format(text_format: TextFormat) -> dict[str, Any]:
    if text_format.type != "json_schema":
        return {"type": text_format.type}
    schema = text_format.model_dump(by_alias=True, exclude_none=True, exclude={"type"})
    return {"type": "json_schema", "json_schema": {"name": "answer", **schema}}
