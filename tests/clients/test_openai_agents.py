"""The OpenAI Agents SDK against the scripted model. `openai_agents_script.py` does the calls."""

from pathlib import Path

from tests.clients import run
from tests.clients.catalogue import FRAMEWORKS
from tests.clients.conftest import client_environment
from tests.clients.puppet import Scripted


def test_tools_streams_handoffs_and_typed_output_over_responses_and_chat(scripted: Scripted, tmp_path: Path) -> None:
    got = run.python_script(FRAMEWORKS, "openai_agents", client_environment(scripted.person, tmp_path))
    assert set(got) == {"responses", "chat"}
    for one in got.values():
        assert one["used"] == one["streamed"] == "The tool said: Sunny in Rome."
        assert (one["turns"], one["handed"]) == (2, "other")
        assert one["typed"] == {"name": "Rome", "inhabitants": 5}
    scripted.check_ledger()
