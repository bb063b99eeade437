"""pydantic-ai against the scripted model. `pydantic_ai_script.py` does the calls."""

from pathlib import Path

from tests.clients import run
from tests.clients.catalogue import FRAMEWORKS
from tests.clients.conftest import client_environment
from tests.clients.puppet import Scripted


def test_answers_streams_models_and_tools_over_chat_responses_and_messages(scripted: Scripted, tmp_path: Path) -> None:
    got = run.python_script(FRAMEWORKS, "pydantic_ai", client_environment(scripted.person, tmp_path))
    assert set(got) == {"chat", "responses", "messages"}
    for one in got.values():
        assert one["answer"] == one["streamed"] == "The capital of France is Paris."
        assert one["typed"] == {"name": "Rome", "inhabitants": 5}
        assert one["used"] == "The tool said: Sunny in Rome."
        assert one["usage"] == got["chat"]["usage"]
    scripted.check_ledger()
