"""Anthropic's SDK for Python against the demo model."""

from collections.abc import Iterator
from typing import Any, Literal

import anthropic
import pytest
from pydantic import BaseModel

from tests.clients.conftest import Newest
from tests.e2e.people import Person

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
TRUE = "The capital of France is Paris."
WEATHER: Any = {
    "name": "weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


class City(BaseModel):
    name: Literal["Paris", "Rome"]


@pytest.fixture(scope="module")
def client(person: Person) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=person.base_url, api_key=person.api_token, max_retries=0) as made:
        yield made


def test_a_message_and_its_stream_answer_and_count_the_same(client: anthropic.Anthropic, newest: Newest) -> None:
    whole = client.messages.create(model="demo", max_tokens=100, messages=QUESTION)
    with client.messages.stream(model="demo", max_tokens=100, messages=QUESTION) as stream:
        assert "".join(stream.text_stream) == TRUE
        streamed = stream.get_final_message()
    assert whole.content[0].type == "text" and whole.content[0].text == TRUE
    assert whole.usage.output_tokens == streamed.usage.output_tokens
    charged = [each["prompt_tokens"] for each in newest(2)]
    counted = client.messages.count_tokens(model="demo", messages=QUESTION).input_tokens
    assert charged == [counted, counted]


def test_a_system_prompt_and_stop_sequences_hold(client: anthropic.Anthropic) -> None:
    stopped = client.messages.create(
        model="demo", max_tokens=100, system="You answer shortly.", messages=QUESTION, stop_sequences=["Paris"]
    )
    assert stopped.stop_reason in ("stop_sequence", "end_turn")


def test_a_tool_is_called_and_its_result_taken_back(client: anthropic.Anthropic) -> None:
    tool: Any = {"type": "tool", "name": "weather"}
    called = client.messages.create(model="demo", max_tokens=200, messages=QUESTION, tools=[WEATHER], tool_choice=tool)
    block = called.content[-1]
    assert called.stop_reason == "tool_use" and block.type == "tool_use" and set(block.input) == {"city"}
    result = [{"type": "tool_result", "tool_use_id": block.id, "content": "Sunny."}]
    history: Any = [*QUESTION, {"role": "assistant", "content": called.content}, {"role": "user", "content": result}]
    assert client.messages.create(model="demo", max_tokens=50, messages=history, tools=[WEATHER]).stop_reason


def test_parse_fills_a_pydantic_model(client: anthropic.Anthropic) -> None:
    parsed = client.messages.parse(model="demo", max_tokens=100, messages=QUESTION, output_format=City)
    assert isinstance(parsed.parsed_output, City)


def test_models_are_listed(client: anthropic.Anthropic) -> None:
    assert "demo" in [model.id for model in client.models.list()]


def test_errors_are_the_sdks_own(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        client.messages.create(model="other", max_tokens=9, messages=QUESTION)
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model="demo", max_tokens=0, messages=QUESTION)
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="none").messages.create(model="demo", max_tokens=9, messages=QUESTION)
    assert unknown.value.request_id
