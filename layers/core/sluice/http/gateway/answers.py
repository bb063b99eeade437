"""Answers of `/v1`, for the OpenAPI document only: the engine writes them, and they are not validated at runtime.

Every model allows unknown fields, because those of another OpenAI-compatible upstream are passed on.
"""

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from sluice.http.lazy_model import BaseModel


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class PromptTokensDetails(Open):
    cached_tokens: int = Field(0, description="prompt tokens that the engine reused from its memory")


class Usage(Open):
    """Exact: the engine's own counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | None = None


class CalledFunction(Open):
    name: str
    arguments: str = Field(description="JSON, as the model wrote it")


class AnsweredToolCall(Open):
    id: str
    type: Literal["function"]
    function: CalledFunction


class AnsweredMessage(Open):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None = None
    tool_calls: list[AnsweredToolCall] | None = None
    function_call: CalledFunction | None = Field(None, description="with `functions`")


class ChatChoice(Open):
    index: int
    message: AnsweredMessage
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None = Field(description="`stop`, `length`, `tool_calls`, `function_call`")


class Delta(Open):
    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, Any] | None = Field(None, description="with `functions`")


class ChunkChoice(Open):
    index: int
    delta: Delta
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None = None


class Citation(BaseModel):
    """With `retrieval`: a passage in the prompt."""

    index: int = Field(description="its number in the prompt, from 1")
    vector_store_id: str
    file_id: str
    filename: str
    position: int = Field(description="of the passage in its file, from 0")
    passage: str
    score: float = Field(description="from 0 (unrelated) to 1")


class ChatCompletionChunk(Open):
    """One event of a streamed answer. With `include_usage` the last one has the usage and no choices; with `retrieval`
    it has the citations."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int = Field(description="Unix seconds")
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    citations: list[Citation] | None = None


class ChatCompletion(Open):
    streamed: ClassVar[type[BaseModel]] = ChatCompletionChunk

    id: str
    object: Literal["chat.completion"]
    created: int = Field(description="Unix seconds")
    model: str
    choices: list[ChatChoice]
    usage: Usage
    citations: list[Citation] | None = Field(None, description="with `retrieval`: the passages in the prompt")


class StoredCompletion(ChatCompletion):
    metadata: dict[str, str]


class StoredCompletions(Open):
    object: Literal["list"]
    data: list[StoredCompletion]
    first_id: str | None
    last_id: str | None
    has_more: bool


class StoredMessage(Open):
    """A message of the request, without the addresses of images."""

    id: str
    role: str
    content: str | None
    content_parts: list[dict[str, Any]] | None = Field(description="the content, where it was sent as parts")


class StoredMessages(Open):
    object: Literal["list"]
    data: list[StoredMessage]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedCompletion(Open):
    id: str
    object: Literal["chat.completion.deleted"]
    deleted: Literal[True]


class TextChoice(Open):
    index: int
    text: str
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None = None


class CompletionChunk(Open):
    """One event of a streamed text completion."""

    id: str
    object: Literal["text_completion"]
    created: int = Field(description="Unix seconds")
    model: str
    choices: list[TextChoice]
    usage: Usage | None = None


class Completion(CompletionChunk):
    streamed: ClassVar[type[BaseModel]] = CompletionChunk

    usage: Usage


class EmbeddingUsage(Open):
    prompt_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | None = Field(
        None, description="`cached_tokens`: of inputs that the account sent before, and more than once in this request"
    )


class Embedding(Open):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="numbers, or base64 of little-endian 32-bit floats")


class EmbeddingList(Open):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    version: str | None = Field(None, description="of the model's content: do not compare vectors of two versions")
    usage: EmbeddingUsage


class EmbeddingInfo(Open):
    version: str = Field(description="of the model's content: do not compare vectors of two versions")
    dimensions: int
    floor: float | None = Field(description="the cosine under which a passage is probably not about a question")
    unrelated: float | None = Field(description="the usual cosine of texts that have nothing to do with each other")


class Pricing(BaseModel):
    """US dollars: a million model tokens, a request, a second. A price that is left out is none."""

    prompt_usd: float | None = None
    completion_usd: float | None = None
    cached_usd: float | None = None
    request_usd: float | None = None
    second_usd: float | None = None


class ModelInfo(Open):
    id: str
    object: Literal["model"]
    created: int = Field(0, description="Unix seconds")
    owned_by: str
    context_window: int | None = Field(description="model tokens of prompt and answer together; null: not known")
    capabilities: list[str] | None = Field(
        None,
        description="of `chat`, `completions`, `embeddings`, `rerank`, `vision`, `run`, `infer`; left out where the "
        "server states none",
    )
    embedding: EmbeddingInfo | None = Field(None, description="of an embedding model of Sluice's own engine")
    pricing: Pricing
    aliases: list[str] = Field(description="other names of the model")


class ModelCollection(Open):
    object: Literal["list"]
    data: list[ModelInfo]


class ErrorBody(BaseModel):
    message: str
    type: str
    param: str | None = Field(description="the wrong field, if any")
    code: str | None


class OpenAIError(BaseModel):
    """OpenAI's envelope, from which its SDKs raise their own exception classes."""

    error: ErrorBody
