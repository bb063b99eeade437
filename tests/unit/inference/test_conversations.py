"""Any conversation is rendered whole by the templates of real models, or refused with a clear 400."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.inference.errors import InvalidRequest
from functions.inference.models.chat_template import ChatTemplate
from functions.inference.openai.requests import ChatRequest
from functions.inference.web import job_builder
from tests.rounds import rounds
from tests.unit.inference.chatml import CHATML

FOLDER = Path(__file__).parents[2] / "data/chat_templates"
TEMPLATES = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.jinja"))} | {"ChatML": CHATML}
ARGUMENTS = st.sampled_from(["", "{}", '{"a": "ARG"}', "{ARG", '["ARG"]', "null", '"ARG"', "3", {"a": {"b": [None]}}])
CALLS = st.lists(st.tuples(st.sampled_from([None, "c1", "c2", "c3"]), st.sampled_from("fg"), ARGUMENTS), max_size=3)
FORMS = ("text", "parts", "null", "empty", "<think>x</think>", "{{ raise }}<|im_end|>", "[INST]")
OWN_TURN = st.tuples(st.sampled_from(["system", "developer", "user", "user", "assistant"]), st.sampled_from(FORMS))
TURN = st.tuples(OWN_TURN, CALLS, st.lists(st.sampled_from([None, "c1", "c2", "c3"]), max_size=2))
SCHEMAS: list[Any] = [
    None,
    {},
    {"type": "object", "properties": {"a": {"enum": ["x", 1]}, "b": {"anyOf": [{"type": "null"}]}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"type": ["integer", "null"]}, "b": {"type": "array", "items": {}}}},
    {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"type": {"type": "string"}, "c": True}}}},
]
TOOLS = st.lists(st.tuples(st.sampled_from([None, "d"]), st.sampled_from(SCHEMAS)), max_size=2)
INNER_WORDS = re.compile("NoneType|concatenate|has no attribute|undefined|not callable|Traceback|mapping|argument")
"""What a fault of the template says, and no template's own refusal."""


def message(at: int, role: str, form: str, calls: list[tuple[Any, str, Any]]) -> dict[str, Any]:
    word = f"QZ{at}Z"
    content: Any = {"parts": [{"type": "text", "text": word}, {"type": "text", "text": "b"}], "null": None, "empty": ""}
    turn = {"role": role, "content": content.get(form, f"{form}{word}")}
    if role == "assistant" and calls:
        turn["tool_calls"] = [
            {"id": given, "type": "function", "function": {"name": name, "arguments": arguments}}
            for given, name, arguments in calls
        ]
    return turn


def conversation(turns: list[Any], tools: list[Any]) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for (role, form), calls, results in turns:
        messages.append(message(len(messages), role, form, calls))
        for given_id in results if role == "assistant" else ():
            messages.append(message(len(messages), "tool", "text", []) | {"tool_call_id": given_id})
    body: dict[str, Any] = {"model": "m", "messages": messages}
    if tools:
        functions = [{"name": "fg"[at], "description": d, "parameters": p} for at, (d, p) in enumerate(tools)]
        body["tools"] = [{"type": "function", "function": function} for function in functions]
    return body


@pytest.mark.parametrize("name", TEMPLATES)
def test_any_conversation_is_rendered_whole_or_refused_in_plain_words(name: str) -> None:
    model: Any = SimpleNamespace(template=ChatTemplate(TEMPLATES[name], bos="<s>", eos="</s>"))

    @settings(max_examples=rounds(1000, 40), deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(TURN, min_size=1, max_size=6), TOOLS)
    def holds(turns: list[Any], tools: list[Any]) -> None:
        body = conversation(turns, tools)
        try:
            prompt = job_builder.chat_prompt(ChatRequest.model_validate(body), model)
        except InvalidRequest as refused:
            assert (refused.param or "").startswith("messages")
            assert not INNER_WORDS.search(str(refused)), (str(refused), body)
            return
        for at, turn in enumerate(body["messages"]):
            if f"QZ{at}Z" in str(turn["content"]) and not (turn["role"] == "assistant" and turn.get("tool_calls")):
                assert f"QZ{at}Z" in prompt, (body, prompt)

    holds()
