"""The three dialects of `/v1` from outside: the same question, the same answer, the same exact counts."""

from typing import Any

import anthropic
import pytest

from tests.e2e import people
from tests.e2e.people import Person
from tests.e2e.place import Place
from tests.integration.gateway.test_responses import CODEX

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
TRUE = "The capital of France is Paris."


@pytest.fixture(scope="module")
def person(system: Place) -> Person:
    return people.newcomer(system.base_url)


def newest(person: Person) -> dict[str, Any]:
    return dict(person.call("GET", "/usage/logs").json()["data"][0])


def test_each_dialect_gets_the_same_answer_and_counts(person: Person) -> None:
    chat = person.openai.chat.completions.create(model="demo", messages=QUESTION)
    response = person.openai.responses.create(model="demo", input=QUESTION)
    with anthropic.Anthropic(api_key=person.api_token, base_url=person.base_url, max_retries=0) as sdk:
        message = sdk.messages.create(model="demo", max_tokens=100, messages=QUESTION)
        record = newest(person)
        with sdk.messages.stream(model="demo", max_tokens=100, messages=QUESTION) as stream:
            first, streamed = next(iter(stream)), stream.get_final_message()
        counted = sdk.messages.count_tokens(model="demo", messages=QUESTION).input_tokens
    assert chat.usage and response.usage and first.type == "message_start"
    assert message.content[0].type == streamed.content[0].type == "text"
    assert [message.content[0].text, streamed.content[0].text, response.output_text] == [TRUE] * 3
    prompts = {
        chat.usage.prompt_tokens,
        response.usage.input_tokens,
        person.openai.responses.input_tokens.count(model="demo", input=QUESTION).input_tokens,
        first.message.usage.input_tokens,
        streamed.usage.input_tokens,
        record["prompt_tokens"],
        counted,
    }
    assert len(prompts) == 1, prompts
    assert message.usage.output_tokens == streamed.usage.output_tokens == record["completion_tokens"]


def test_anthropics_tools_and_stop_sequences_work_on_the_engine(person: Person) -> None:
    tool: Any = {"name": "lookup", "input_schema": {"type": "object", "properties": {"city": {"enum": ["Paris"]}}}}
    with anthropic.Anthropic(api_key=person.api_token, base_url=person.base_url, max_retries=0) as sdk:
        with sdk.messages.stream(
            model="demo", max_tokens=200, messages=QUESTION, tools=[tool], tool_choice={"type": "any"}
        ) as stream:
            called = stream.get_final_message()
        stopped = sdk.messages.create(model="demo", max_tokens=100, messages=QUESTION, stop_sequences=["Paris"])
    assert called.stop_reason == "tool_use" and called.content[-1].type == "tool_use"
    assert called.content[-1].name == "lookup" and set(called.content[-1].input) <= {"city"}
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "Paris")


def test_codexs_body_is_answered_by_the_engine(person: Person) -> None:
    answer = person.v1("POST", "/v1/responses", json={**CODEX, "max_output_tokens": 30})
    assert answer.status_code == 200, answer.text
    assert "web_search" in answer.headers["x-sluice-ignored"]
    assert newest(person)["endpoint"] == "responses" and "event: response.output_item.done" in answer.text
