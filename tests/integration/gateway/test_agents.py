"""What Codex CLI and OpenCode send, recorded by tests/clients/recorder.py, is answered and reaches the model whole."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway.conftest import Person

RECORDS = Path(__file__).parents[2] / "data" / "agents"
REQUESTS = [
    pytest.param(json.loads(line), results, id=f"{file.stem}-{results}")
    for file in sorted(RECORDS.glob("*.jsonl"))
    for line, results in zip(file.read_text().splitlines(), (0, 2), strict=True)  # the first, and the last of a session
]


def test_each_agent_is_recorded() -> None:
    assert {file.stem for file in RECORDS.iterdir()} == {"codex", "opencode-anthropic", "opencode-openai-compatible"}


@pytest.mark.parametrize(("recorded", "results"), REQUESTS)
def test_a_recorded_request_is_answered_with_its_tools_and_history(
    person: Person, recorded: dict[str, Any], results: int
) -> None:
    body = recorded["body"]
    answer = person.client.post(recorded["path"], json=body, headers=recorded["headers"] | person.api_token)
    assert answer.status_code == 200 and "Pa" in answer.text, answer.text
    assert [record["status"] for record in person.log()] == [200]
    asked = person.upstream.calls[-1].body
    functions = [tool for tool in body.get("tools", []) if tool.get("type", "function") == "function"]
    assert names(asked.get("tools", [])) == names(functions)
    assert sum(message["role"] == "tool" for message in asked["messages"]) == results


def names(tools: list[dict[str, Any]]) -> list[str]:
    return [tool.get("function", tool)["name"] for tool in tools]
