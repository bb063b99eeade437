"""The command `llm` against the scripted model."""

import json
from pathlib import Path

import pytest

from tests.clients import run
from tests.clients.catalogue import WRAPPERS
from tests.clients.conftest import client_environment
from tests.clients.install import python
from tests.clients.puppet import Scripted

WEATHER = "def weather(city: str) -> str:\n    'The weather in a city.'\n    return f'Sunny in {city}.'\n"


@pytest.fixture
def home(scripted: Scripted, tmp_path: Path) -> Path:
    place = {
        "api_base": scripted.person.base_url + "/v1",
        "model_name": "demo",
        "model_id": "sluice",
        "api_key_name": "sluice",
    }
    (tmp_path / "extra-openai-models.yaml").write_text(
        json.dumps([{**place, "supports_schema": True, "supports_tools": True}])
    )
    (tmp_path / "keys.json").write_text(json.dumps({"sluice": scripted.person.api_token}))
    return tmp_path


def llm(home: Path, scripted: Scripted, *words: str) -> str:
    env = client_environment(scripted.person, home) | {"LLM_USER_PATH": str(home)}
    command = (python(WRAPPERS).with_name("llm"), "prompt", "--model", "sluice")
    return run.finished((*command, *words), env, home).strip()


def test_a_prompt_is_answered_streamed_and_whole(home: Path, scripted: Scripted) -> None:
    for words in ((), ("--no-stream",)):
        assert llm(home, scripted, *words, "What is the capital of France?") == "The capital of France is Paris."
    scripted.check_ledger()


def test_a_schema_is_filled(home: Path, scripted: Scripted) -> None:
    said = llm(home, scripted, "--schema", "name, inhabitants int", "Describe 'Rome' with 5 inhabitants.")
    assert json.loads(said) == {"name": "Rome", "inhabitants": 5}


def test_a_function_is_called(home: Path, scripted: Scripted) -> None:
    said = llm(home, scripted, "--functions", WEATHER, "What is the weather in 'Rome'?")
    assert said.endswith("The tool said: Sunny in Rome.")
    scripted.check_ledger()
