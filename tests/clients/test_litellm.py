"""LiteLLM as a client against the scripted model. `litellm_script.py` does the calls."""

from pathlib import Path

from tests.clients import run
from tests.clients.catalogue import WRAPPERS
from tests.clients.conftest import client_environment
from tests.clients.puppet import Scripted


def test_chat_streams_usage_and_tools_over_both_apis(scripted: Scripted, tmp_path: Path) -> None:
    got = run.python_script(WRAPPERS, "litellm", client_environment(scripted.person, tmp_path))
    assert set(got) == {"openai", "anthropic"}
    for one in got.values():
        assert one["whole"] == one["streamed"] == "The capital of France is Paris."
        assert one["usage"][0] == one["usage"][1] > 0 and one["called"] == "weather"
    scripted.check_ledger()
