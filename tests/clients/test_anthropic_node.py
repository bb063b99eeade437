"""Anthropic's SDK for TypeScript against the demo model. `anthropic_node.mjs` does the calls."""

from typing import Any

import pytest

from tests.clients import run
from tests.clients.test_openai_python import TRUE


@pytest.fixture(scope="module")
def got(env: dict[str, str]) -> dict[str, Any]:
    return run.node_script("anthropic_node", env)


def test_a_message_and_its_stream_answer_and_count_the_same(got: dict[str, Any]) -> None:
    assert got["whole"] == got["streamed"] == TRUE
    assert got["usage"][0] == got["usage"][1] and got["usage"][0][0] == got["counted"]


def test_a_tool_is_called(got: dict[str, Any]) -> None:
    assert (got["reason"], got["called"]["name"]) == ("tool_use", "weather")
    assert got["called"]["input"]["city"] in ("Paris", "Rome")


def test_a_zod_schema_holds(got: dict[str, Any]) -> None:
    assert got["parsed"]["name"] in ("Paris", "Rome")


def test_models_are_listed(got: dict[str, Any]) -> None:
    assert "demo" in got["models"]


def test_errors_are_the_sdks_own(got: dict[str, Any]) -> None:
    assert got["refused"] == {
        "model": ["NotFoundError", 404],
        "form": ["BadRequestError", 400],
        "key": ["AuthenticationError", 401],
    }
