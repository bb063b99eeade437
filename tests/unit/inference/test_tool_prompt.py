"""Tools and past calls in prompts, with chat templates that support tools and with others."""

from types import SimpleNamespace
from typing import Any

import pytest

from functions.inference.errors import InvalidRequest
from functions.inference.models.chat_template import ChatTemplate
from functions.inference.openai.requests import ChatRequest
from functions.inference.web import job_builder
from tests.unit.inference.chatml import CHATML

KNOWS_TOOLS = (
    "{% if tools %}TOOLS {% for tool in tools %}{{ tool | tojson }}{% endfor %}\n{% endif %}"
    "{% for message in messages %}{{ message.role }}: {{ message.content }}"
    "{% for call in message.tool_calls or [] %}[{{ call.function.name }} {{ call.function.arguments | tojson }}]"
    "{% endfor %}\n{% endfor %}"
)
TOOL = {"type": "function", "function": {"name": "add", "description": "adds numbers", "parameters": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TURNS = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "2"},
]


def prompt(template: str, **fields: Any) -> str:
    request = ChatRequest.model_validate({"model": "m", "messages": TURNS, "tools": [TOOL]} | fields)
    model: Any = SimpleNamespace(template=ChatTemplate(template))
    return job_builder.chat_prompt(request, model)


def test_a_template_that_supports_tools_gets_them_unchanged() -> None:
    text = prompt(KNOWS_TOOLS)
    assert text.startswith('TOOLS {"type": "function"')
    assert "system: Be brief." in text
    assert 'assistant: [add {"a": 1}]' in text
    assert "tool: 2" in text


def test_other_templates_get_tools_described_in_text() -> None:
    text = prompt(CHATML)
    assert text.startswith("<|im_start|>system\nBe brief.\n\nYou may call functions.")
    assert '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>' in text
    assert "<|im_start|>user\n<tool_response>\n2\n</tool_response>" in text


def test_a_conversation_without_a_system_message_gets_one_for_the_tools() -> None:
    text = prompt(CHATML, messages=[{"role": "user", "content": "hi"}])
    assert text.startswith("<|im_start|>system\nYou may call functions.")


@pytest.mark.parametrize("template", [KNOWS_TOOLS, CHATML])
def test_tool_choice_none_hides_the_tools(template: str) -> None:
    assert "adds" not in prompt(template, tool_choice="none")


def test_broken_arguments_of_a_past_call_are_shown_as_they_are() -> None:
    broken = CALL | {"function": {"name": "add", "arguments": "{oops"}}
    assert "{oops" in prompt(CHATML, messages=[TURNS[1], {"role": "assistant", "tool_calls": [broken]}])


def test_tools_that_break_a_template_are_described_in_the_messages() -> None:
    fails = KNOWS_TOOLS.replace(
        "{% if tools %}", "{% if tools %}{{ tools[0].function.parameters.properties.a.type + 1 }}"
    )
    text = prompt(fails + "<tool_call>")
    assert text.startswith("system: Be brief.\n\nYou may call functions.") and "adds numbers" in text


SINGLE = (
    "{% for m in messages %}<|start_header_id|>{{ m.role }}|{{ m.content }}"
    "{% if m.tool_calls %}{% if m.tool_calls | length != 1 %}{{ raise_exception('one at once') }}{% endif %}"
    '{"name": "{{ m.tool_calls[0].function.name }}", "parameters": {{ m.tool_calls[0].function.arguments | tojson }}}'
    "{% endif %}{{ '\n' }}{% endfor %}{{ tools }}"
)
"""Llama 3 takes one call a turn."""


def test_several_past_calls_are_told_one_by_one_with_their_results() -> None:
    calls = [
        {"id": given, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for given, name in (("c1", "add"), ("c2", "sub"), (None, "mul"))
    ]
    turns = [
        TURNS[1],
        {"role": "assistant", "content": "so", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c2", "content": "R2"},
        {"role": "tool", "tool_call_id": "c1", "content": "R1"},
        {"role": "tool", "tool_call_id": None, "content": "R3"},
    ]
    lines = [line.removeprefix("<|start_header_id|>") for line in prompt(SINGLE, messages=turns).splitlines()]
    assert lines[1:6] == [
        'assistant|so{"name": "add", "parameters": {}}', "tool|R1",
        'assistant|{"name": "sub", "parameters": {}}', "tool|R2",
        'assistant|{"name": "mul", "parameters": {}}',
    ]  # fmt: skip
    assert lines[6] == "tool|R3"


@pytest.mark.parametrize(
    ("results", "param"), [(["c9"], "messages[2].tool_call_id"), (["c1", None], "messages[3].tool_call_id")]
)
def test_a_result_without_its_call_is_refused(results: list[str | None], param: str) -> None:
    turns = [*TURNS[1:3], *({"role": "tool", "tool_call_id": given, "content": "2"} for given in results)]
    with pytest.raises(InvalidRequest) as refused:
        prompt(CHATML, messages=turns)
    assert refused.value.param == param
    with pytest.raises(InvalidRequest) as refused:
        prompt(CHATML, messages=[TURNS[1], TURNS[3]])
    assert refused.value.param == "messages[1].role"
