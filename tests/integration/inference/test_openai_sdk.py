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
    found = client.embeddings.create(model="all-minilm-l6-v2", input=["red", "blue"])
    assert [len(entry.embedding) for entry in found.data] == [384, 384]


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


def test_choices_and_lists_of_prompts_come_typed_and_in_order(client: openai.OpenAI) -> None:
    several = client.chat.completions.create(model="demo", messages=QUESTION, n=3, temperature=0)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert {choice.message.content for choice in several.choices} == {"The capital of France is Paris."}
    alone = client.chat.completions.create(model="demo", messages=QUESTION, temperature=0)
    assert several.usage and alone.usage
    assert several.usage.prompt_tokens == alone.usage.prompt_tokens
    assert several.usage.completion_tokens == 3 * alone.usage.completion_tokens
    texts: dict[int, str] = {}
    for part in client.chat.completions.create(model="demo", messages=QUESTION, n=3, temperature=0, stream=True):
        for choice in part.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert texts == dict.fromkeys(range(3), "The capital of France is Paris.")
    prompts = [f"Count to {number}" for number in range(6)]
    listed = client.completions.create(model="demo", prompt=prompts, n=2, max_tokens=3, temperature=0, echo=True)
    assert [choice.index for choice in listed.choices] == list(range(12))
    assert all(choice.text.startswith(prompts[choice.index // 2]) for choice in listed.choices)


def test_an_evaluations_sums_are_those_of_the_model(client: openai.OpenAI, server: Server) -> None:
    """As lm-evaluation-harness computes a likelihood (`local-completions`): of the log probabilities those after the
    context's tokens and before the one generated token; and greedy is what equals the best of each top list."""
    context = server.post("/tokenize", {"model": "demo", "text": "What is the capital of France?"}).json()["tokens"]
    asked: Any = {"model": "demo", "temperature": 0, "logprobs": 1}
    written = client.completions.create(prompt=context, max_tokens=5, **asked).choices[0]
    other = server.post("/tokenize", {"model": "demo", "text": "zebra zebra"}).json()["tokens"]
    own = server.post("/tokenize", {"model": "demo", "text": written.text}).json()["tokens"]
    assert written.logprobs and written.logprobs.token_logprobs and len(own) == 5
    found = client.completions.create(prompt=[context + own, context + other], max_tokens=1, echo=True, **asked)
    sums, greedy = [], []
    for choice in found.choices:
        assert choice.logprobs and choice.logprobs.token_logprobs and choice.logprobs.top_logprobs
        values = choice.logprobs.token_logprobs[len(context) : -1]
        tops = choice.logprobs.top_logprobs[len(context) : -1]
        sums.append(sum(values))
        greedy.append(all(value == max(top.values()) for value, top in zip(values, tops, strict=True)))
    assert sums[0] == pytest.approx(sum(written.logprobs.token_logprobs), abs=0.3)
    assert greedy == [True, False] and sums[1] < sums[0] - 5
