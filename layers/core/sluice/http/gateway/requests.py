"""Request models of `/v1`: known fields are validated and unknown ones ignored, as other compatible servers do."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from sluice.domain.documents.retrieval import DEFAULT_TOP_K, MAX_STORES, MAX_TOP_K, Grounding
from sluice.domain.errors import InvalidModelRequest
from sluice.domain.gateway.images import IMAGE_TOKENS, NOT_SEARCHED, Image, without
from sluice.http.fields import Flag, Integer, Key, Loose, Number, Text, Value
from sluice.http.gateway.function_calls import call_turns, field_in_old_form, tool_choice_of
from sluice.http.gateway.messages import (
    TOOLS_TOKENS,
    AllowedChatTools,
    FunctionDefinition,
    Message,
    NamedFunction,
    NamedTool,
    ResponseFormat,
    Tool,
    bound,
)

MAX_MESSAGES = 2048
MAX_STOPS = 4
MAX_CHOICES = 4
MAX_METADATA = 16
Metadata = Annotated[dict[Key, Value], Field(max_length=MAX_METADATA)]
MAX_PROMPTS = 64
MAX_INPUTS = 2048
PREFIX_TOKENS = 64  # the longest prefix that the engine puts before an input
Texts = Annotated[list[Text], Field(fail_fast=True)]
Stop = Annotated[str, Field(max_length=256)]
TokenIds = Annotated[list[Integer], Field(fail_fast=True)]
ListsOfTokenIds = Annotated[list[TokenIds], Field(fail_fast=True)]


class StreamOptions(Loose):
    include_usage: Flag | None = None


class Sampling(Loose):
    """What chat and plain completions share."""

    model: str = Field(min_length=1, max_length=256)
    stream: Flag | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[Integer, Field(ge=1)] | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    top_k: Annotated[Integer, Field(ge=0, le=1000)] | None = None
    min_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    stop: Stop | Annotated[list[Stop], Field(fail_fast=True)] | None = None
    seed: Annotated[Integer, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    n: Annotated[Integer, Field(ge=1)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    logit_bias: dict[Annotated[str, Field(max_length=16)], Annotated[Number, Field(ge=-100, le=100)]] | None = Field(
        None, max_length=1024
    )
    user: Value | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _few_stops(cls, value: Any) -> Any:
        if isinstance(value, list) and len(value) > MAX_STOPS:
            raise ValueError(f"at most {MAX_STOPS} stop strings")
        return value

    @field_validator("n")
    @classmethod
    def _few_choices(cls, value: int | None) -> int | None:
        if value is not None and value > MAX_CHOICES:
            raise ValueError(f"from 1 to {MAX_CHOICES} choices a request")
        return value

    @model_validator(mode="after")
    def _options_go_with_stream(self) -> "Sampling":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed when stream is true")
        return self

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def completion_limit(self) -> int | None:
        return self.max_tokens

    @property
    def choices(self) -> int:
        """How many answers the model writes for this request."""
        return self.n or 1

    @property
    def grounding(self) -> Grounding | None:
        """What to search before the model is asked, or None."""
        return None

    @property
    def images(self) -> list[Image]:
        return []

    @property
    def old_calls(self) -> bool:
        """Whether the answer's calls have the form that OpenAI had before tools."""
        return False

    def field_of(self, param: str | None) -> str | None:
        """The field here for a field of the request to the model server."""
        return param


class RetrievalOptions(Loose):
    """Sluice's extension (`extra_body` in SDKs): answer from one's documents. The API token needs the scope `files`.

    `strict`: answer only from them; if the search finds nothing, return a fixed sentence without asking the model."""

    vector_store_ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(fail_fast=True)] = Field(
        min_length=1, max_length=MAX_STORES
    )
    mode: Literal["strict", "augment"] = "strict"
    top_k: Annotated[Integer, Field(ge=1, le=MAX_TOP_K)] = DEFAULT_TOP_K

    def grounding(self) -> Grounding:
        return Grounding(self.vector_store_ids, self.top_k, strict=self.mode == "strict")


class ChatBody(Sampling):
    messages: Annotated[list[Message], Field(fail_fast=True)] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: Annotated[Integer, Field(ge=1)] | None = None
    logprobs: Flag | None = None
    top_logprobs: Annotated[Integer, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(fail_fast=True)] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | AllowedChatTools | None = None
    parallel_tool_calls: Flag | None = None
    functions: Annotated[list[FunctionDefinition], Field(fail_fast=True)] | None = Field(
        None, max_length=128, description="old form of `tools`"
    )
    function_call: Literal["none", "auto"] | NamedFunction | None = Field(None, description="old form of `tool_choice`")
    store: Flag | None = Field(None, description="keep the answer for `GET /v1/chat/completions`")
    metadata: Metadata | None = Field(None, description="of a stored answer; its list can be filtered by it")
    retrieval: RetrievalOptions | None = None

    @model_validator(mode="after")
    def _old_form_becomes_tools(self) -> "ChatBody":
        call_turns(self.messages)
        if choice := tool_choice_of(self.functions, self.function_call, self.tools):
            self.tools = [Tool(type="function", function=function) for function in self.functions or []]
            self.tool_choice, self.parallel_tool_calls = choice, False
        return self

    @model_validator(mode="after")
    def _logprobs_first(self) -> "ChatBody":
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        return self

    @model_validator(mode="after")
    def _one_grounded_choice(self) -> "ChatBody":
        if self.retrieval and self.choices > 1:
            raise ValueError("an answer from documents has one choice: leave n out")
        if self.retrieval and self.images:
            raise ValueError(NOT_SEARCHED)
        return self

    @property
    def images(self) -> list[Image]:
        return [
            Image(f"messages[{turn}].content[{place}]", "image_url.url", part.image_url.url)
            for turn, message in enumerate(self.messages)
            if isinstance(message.content, list)
            for place, part in message.images
        ]

    @property
    def old_calls(self) -> bool:
        return bool(self.functions)

    def field_of(self, param: str | None) -> str | None:
        return field_in_old_form(param) if self.old_calls else param

    @property
    def completion_limit(self) -> int | None:
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    def token_bound(self) -> int:
        texts = bound(text for m in self.messages for text in (m.text, m.reasoning_content))
        calls = bound(call.model_dump_json() for m in self.messages for call in m.tool_calls or [])
        tools = bound(tool.model_dump_json() for tool in self.tools or [])
        return texts + calls + tools + (TOOLS_TOKENS if self.tools else 0) + IMAGE_TOKENS * len(self.images)

    @property
    def grounding(self) -> Grounding | None:
        return self.retrieval.grounding() if self.retrieval else None

    def prompt_text(self) -> str:
        """The prompt in the form of the request log: the messages as JSON."""
        messages, _ = without(self.model_dump(include={"messages"}, exclude_none=True)["messages"])
        return json.dumps(messages, ensure_ascii=False)

    def forwarded(self) -> dict[str, Any]:
        own = {"messages", "max_completion_tokens", "max_tokens", "stream", "stream_options", "user", "retrieval"}
        own |= {"functions", "function_call", "store", "metadata"}
        return {
            "messages": [message.forwarded() for message in self.messages],
            **self.model_dump(exclude=own, exclude_none=True, by_alias=True),
        }


class CompletionBody(Sampling):
    prompt: Text | Texts | TokenIds | ListsOfTokenIds
    max_tokens: Annotated[Integer, Field(ge=0, description="0 with `echo`: the prompt only")] | None = None
    echo: Flag | None = None
    logprobs: Annotated[Integer, Field(ge=0, le=5)] | None = None
    suffix: Text | None = Field(None, description="answer what stands before it, where the model has infill tokens")
    best_of: Annotated[Integer, Field(ge=1)] | None = None

    @field_validator("prompt", mode="before")
    @classmethod
    def _few_prompts(cls, value: Any) -> Any:
        if isinstance(value, list):
            if not value:
                raise ValueError("give at least one prompt")
            if not isinstance(value[0], int) and len(value) > MAX_PROMPTS:
                raise ValueError(f"at most {MAX_PROMPTS} prompts a request")
        return value

    @field_validator("best_of")
    @classmethod
    def _best_of_one(cls, value: int | None) -> int | None:
        if value is not None and value > 1:
            raise ValueError("best_of is not supported: use n, which returns every choice")
        return value

    @model_validator(mode="after")
    def _something_to_answer(self) -> "CompletionBody":
        if self.echo and self.suffix:
            raise InvalidModelRequest("echo: does not go with suffix", "echo")
        if self.max_tokens == 0 and not self.echo:
            raise InvalidModelRequest("max_tokens: must be at least 1, or 0 with echo", "max_tokens")
        return self

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        """Each prompt: a text, or tokens of the model."""
        given: Any = self.prompt
        return [given] if isinstance(given, str) or isinstance(given[0], int) else given

    @property
    def choices(self) -> int:
        return len(self.prompts) * (self.n or 1)

    def token_bound(self) -> int:
        texts = bound(prompt for prompt in self.prompts if isinstance(prompt, str))
        tokens = sum(len(prompt) for prompt in self.prompts if not isinstance(prompt, str))
        return texts + tokens + (bound([self.suffix]) * len(self.prompts) if self.suffix else 0)

    def prompt_text(self) -> str:
        """As the caller wrote it; as JSON what is more than one text."""
        given: Any = {"prompt": self.prompt, "suffix": self.suffix} if self.suffix else self.prompt
        return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)

    def forwarded(self) -> dict[str, Any]:
        own = {"max_tokens", "stream", "stream_options", "user", "best_of", *(() if self.suffix else ("suffix",))}
        return self.model_dump(exclude=own, exclude_none=True)


class EmbeddingBody(Loose):
    model: str = Field(min_length=1, max_length=256)
    input: Text | Texts | TokenIds | ListsOfTokenIds = Field(union_mode="left_to_right")
    input_type: Literal["query", "passage"] | None = Field(
        None, description="for models that want a prefix before questions and texts; others ignore it"
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[Integer, Field(ge=1)] | None = None
    user: Value | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _few_inputs(cls, value: Any) -> Any:
        if isinstance(value, list) and not 1 <= len(value) <= MAX_INPUTS:
            raise ValueError(f"from 1 to {MAX_INPUTS} inputs")
        if isinstance(value, list) and isinstance(value[0], int | list):
            raise ValueError(
                "send text: tokens of another model's tokenizer mean nothing here; "
                "in LangChain set check_embedding_ctx_length=False"
            )
        return value

    @field_validator("input")
    @classmethod
    def _some_text(cls, value: Any) -> Any:
        texts = value if isinstance(value, list) else [value]
        if not all(texts):
            raise ValueError("an input must not be empty")
        return value

    def token_bound(self) -> int:
        texts = [self.input] if isinstance(self.input, str) else [str(text) for text in self.input]
        return bound(texts) + (PREFIX_TOKENS * len(texts) if self.input_type else 0)

    def forwarded(self) -> dict[str, Any]:
        return self.model_dump(exclude={"user"}, exclude_none=True)
