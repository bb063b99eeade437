"""Vercel's AI SDK against the scripted model. `vercel_ai.mjs` does the calls."""

from pathlib import Path

from tests.clients import run
from tests.clients.conftest import client_environment
from tests.clients.puppet import Scripted


def test_answers_tools_streams_and_zod_objects_over_both_providers(scripted: Scripted, tmp_path: Path) -> None:
    got = run.node_script("vercel_ai", client_environment(scripted.person, tmp_path))
    for one in (got["openai"], got["anthropic"]):
        assert one["answer"] == "The capital of France is Paris."
        assert one["used"] == one["streamed"] == "The tool said: Sunny in Rome." and one["steps"] == 2
        assert one["typed"] == {"name": "Rome", "inhabitants": 5}
        assert min(one["usage"]) > 0
    scripted.check_ledger()
