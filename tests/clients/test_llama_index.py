"""LlamaIndex against the scripted model. `llama_index_script.py` does the calls."""

from pathlib import Path

from tests.clients import run
from tests.clients.catalogue import LLAMA_INDEX
from tests.clients.conftest import client_environment
from tests.clients.puppet import Scripted


def test_chat_streams_tools_and_structured_output(scripted: Scripted, tmp_path: Path) -> None:
    got = run.python_script(LLAMA_INDEX, "llama_index", client_environment(scripted.person, tmp_path))
    assert got["chat"] == got["streamed"] == "The capital of France is Paris."
    assert got["used"] == "Sunny in Rome." and got["typed"] == {"name": "Rome", "inhabitants": 5}
    scripted.check_ledger()


def test_embeddings(env: dict[str, str]) -> None:
    assert run.python_script(LLAMA_INDEX, "llama_index_embeddings", env)["vectors"] == 2
