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
    (user([5]), "messages[0].content[0]", "Input should be an object"),
    (user([{"text": "x"}]), "messages[0].content[0].type", "Field required"),
    (user(5), "messages[0].content", "Input should be a valid string"),
    ({"model": "m"}, "messages", "Field required"),
    (user("x", tools=[{"type": "custom"}]), "tools[0].type", "Input should be 'function'"),
    (user("x", tool_choice={"type": "allowed_tools"}), "tool_choice.type", "Input should be 'function'"),
    (user("x", stop=["a", 5]), "stop[1]", "Input should be a valid string"),
    (user("x", logit_bias={"5": 1000}), "logit_bias.5", "Input should be less than or equal to 100"),
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
        "Input should be 'mess",
    ),
    (
        ResponseBody,
        {"input": "a", "tools": [{"type": "x y"}]},
        "tools[0].type",
        "String should match pattern '^[a-z0-9_.-]{1,64}$'",
    ),
    (ResponseBody, {"input": "a", "tools": [{}]}, "tools[0].type", "Field required"),
    (EmbeddingBody, {"input": ["a", 5]}, "input[1]", "Input should be a valid string"),
    (CompletionBody, {"prompt": 5}, "prompt", "Input should be a valid string"),
    (ChatBody, user("x", logit_bias={"k" * 400: 1}), f"logit_bias.{'k' * 300}", "String should have at most 16"),
]


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
