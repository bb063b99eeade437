"""`param` names the wrong place as OpenAI writes it, and the message the thing, on `/v1` and on the engine's port."""

import json
from typing import Any

import pydantic
import pytest

from functions.inference.errors import InvalidRequest
from functions.inference.openai.requests import ChatRequest, parse
from sluice.domain.errors import ValidationFailed
from sluice.http.errors import openai_envelope
from sluice.http.gateway.requests import ChatBody, CompletionBody, EmbeddingBody
from sluice.http.gateway.responses_requests import ResponseBody
from sluice.http.operation import validated

SOUND = {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}
TEXT_ONLY = "this model takes text only"


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}]} | more


CHATS = [
    (user([{"type": "text", "text": "x"}, SOUND]), "messages[0].content[1].type", TEXT_ONLY),
    (user([5]), "messages[0].content[0]", "must be an object"),
    (user([{"text": "x"}]), "messages[0].content[0].type", "is required"),
    (user(5), "messages[0].content", "must be a string or an array"),
    ({"model": "m"}, "messages", "is required"),
    (user("x", tools=[{"type": "custom"}]), "tools[0].type", "must be 'function'"),
    (user("x", tool_choice={"type": "allowed_tools"}), "tool_choice.type", "must be 'function'"),
    (user("x", stop=["a", 5]), "stop[1]", "must be a string"),
    (user("x", logit_bias={"5": 1000}), "logit_bias.5", "must be at most 100"),
]
OTHERS: list[tuple[type[pydantic.BaseModel], dict[str, Any], str, str]] = [
    (
        ResponseBody,
        {"input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "input[0].content[0].type",
        TEXT_ONLY,
    ),
    (
        ResponseBody,
        {"input": [{"role": "user", "content": "a"}, {"type": "x"}]},
        "input[1].type",
        "must be 'mess",
    ),
    (
        ResponseBody,
        {"input": "a", "tools": [{"type": "x y"}]},
        "tools[0].type",
        "must match the pattern ^[a-z0-9_.-]{1,64}$",
    ),
    (ResponseBody, {"input": "a", "tools": [{}]}, "tools[0].type", "is required"),
    (EmbeddingBody, {"input": ["a", 5]}, "input[1]", "must be a string"),
    (CompletionBody, {"prompt": 5}, "prompt", "must be a string"),
    (ChatBody, user("x", logit_bias={"k" * 400: 1}), f"logit_bias.{'k' * 300}", "must have at most 16 characters"),
]

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"model": ""}, "model: must not be empty"),
    ({"messages": "hi"}, "messages: must be an array"),
    ({"messages": []}, "messages: must not be empty"),
    ({"messages": [{"content": "x"}]}, "messages[0].role: is required"),
    ({"messages": [{"role": "user"}]}, "messages[0]: content is required"),
    ({"temperature": "hot"}, "temperature: must be a number"),
    ({"temperature": 3}, "temperature: must be at most 2"),
    ({"temperature": True}, "temperature: must be a number, not true or false"),
    ({"top_p": -0.5}, "top_p: must be at least 0"),
    ({"max_tokens": 0}, "max_tokens: must be at least 1"),
    ({"max_tokens": 1.5}, "max_tokens: must be a whole number"),
    ({"max_tokens": "100"}, "max_tokens: must be a whole number"),
    ({"stream": "yes"}, "stream: must be true or false"),
    ({"stop": 5}, "stop: must be a string or an array"),
    ({"stop": "x" * 257}, "stop: must have at most 256 characters"),
    ({"seed": 2**63}, "seed: must be at most 9223372036854775807"),
    ({"logit_bias": [1]}, "logit_bias: must be an object"),
    ({"tool_choice": "any"}, "tool_choice: must be 'none', 'auto' or 'required' or an object"),
    ({"tools": [{"type": "function"}]}, "tools[0].function: is required"),
    (
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
        "tools[0].function.name: must match the pattern ^[a-zA-Z0-9_-]{1,64}$",
    ),
    (
        {"response_format": {"type": "yaml"}},
        "response_format.type: must be 'text', 'json_object' or 'json_schema'",
    ),
]


@pytest.mark.parametrize("change, message", MISTAKES)
def test_usual_mistakes_are_told_in_plain_words(change: dict[str, Any], message: str) -> None:
    assert refusal(ChatBody, user("x") | change)[1] == message


def refusal(model: type[pydantic.BaseModel], body: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ValidationFailed) as refused:
        validated(model, body)
    error = openai_envelope(refused.value)["error"]
    return error["param"], error["message"]


@pytest.mark.parametrize("body, param, message", CHATS)
def test_a_refused_chat_names_the_place(body: dict[str, Any], param: str, message: str) -> None:
    found, text = refusal(ChatBody, body)
    assert (found, text) == (param, f"{param}: {message}")
    with pytest.raises(InvalidRequest) as refused:
        parse(ChatRequest, json.dumps(body).encode())
    assert (refused.value.param, str(refused.value)) == (param, f"{param}: {message}")


@pytest.mark.parametrize("model, body, param, message", OTHERS)
def test_other_bodies_name_the_place(
    model: type[pydantic.BaseModel], body: dict[str, Any], param: str, message: str
) -> None:
    found, text = refusal(model, {"model": "m"} | body)
    assert found == param and text.startswith(f"{param}: {message}")
