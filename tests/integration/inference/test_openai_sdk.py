"""The official SDK parses every answer, including errors."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.integration.inference.server import Server


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "lookup",
        "parameters": {"type": "object", "properties": {"city": {"enum": ["Paris"]}}, "required": ["city"]},
    },
}


def test_the_sdk_parses_a_chat_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="demo", messages=QUESTION)
    assert answer.choices[0].message.content == "The capital of France is Paris."
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None


def test_the_sdk_parses_a_streamed_chat_answer(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="demo", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "The capital of France is Paris."
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 5


def test_structured_output_parses(client: openai.OpenAI) -> None:
    class Capital(BaseModel):
        country: str
        capital: str

    messages: Any = [{"role": "user", "content": "Give the capital of France as JSON."}]
    parsed = client.chat.completions.parse(model="demo", messages=messages, response_format=Capital)
    assert parsed.choices[0].message.parsed == Capital(country="France", capital="Paris")


def test_tool_calls_stream_through_the_sdks_own_helper(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="demo", messages=QUESTION, tools=[TOOL], tool_choice="required"
    ) as stream:
        stream.until_done()
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    function = message.tool_calls[0].function
    assert (function.name, json.loads(function.arguments)) == ("lookup", {"city": "Paris"})


def test_embeddings_in_the_sdks_default_encoding(client: openai.OpenAI) -> None:
    found = client.embeddings.create(model="demo-embed", input=["red", "blue"])
    assert [len(entry.embedding) for entry in found.data] == [128, 128]


def test_the_sdk_parses_a_completion(client: openai.OpenAI) -> None:
    text = client.completions.create(model="demo", prompt="Count", max_tokens=4, logprobs=1).choices[0]
    assert text.logprobs is not None
    assert text.logprobs.tokens


def test_the_sdk_parses_the_list_of_models(client: openai.OpenAI) -> None:
    assert "demo" in [model.id for model in client.models.list()]


def test_errors_are_the_sdks_classes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nope", messages=QUESTION)
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "word " * 2000}])
    assert refused.value.code == "context_length_exceeded"


def test_an_error_within_a_stream_is_raised(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="demo", messages=QUESTION, stream=True, extra_headers={"x-sluice-deadline-ms": "0"}
    )
    with pytest.raises(openai.APIError, match="deadline"):
        list(stream)
