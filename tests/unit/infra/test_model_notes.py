from pathlib import Path

import pytest

from infra.local.model_notes import model_notes
from tests.gguf import gguf

BARE = "bare has no chat template: it completes text (/v1/completions), and does not chat"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "bare.gguf").write_bytes(gguf({"general.architecture": "gemma3"}))
    (tmp_path / "chats.gguf").write_bytes(gguf({"general.architecture": "gemma3", "tokenizer.chat_template": "x"}))
    (tmp_path / "odd.gguf").write_bytes(b"garbage")
    return tmp_path


@pytest.mark.parametrize(
    ("env", "notes"),
    [
        ({}, []),
        ({"SLUICE_MODEL": "demo"}, []),
        ({"SLUICE_MODEL": "bare"}, [BARE]),
        ({"SLUICE_MODELS": "chats, bare,odd,none", "SLUICE_MODEL": "bare"}, [BARE]),
        ({"SLUICE_MODEL": "bare", "SLUICE_INFERENCE_URL": "unix:run/inference.sock"}, [BARE]),
        ({"SLUICE_MODEL": "bare", "SLUICE_INFERENCE_URL": "http://other"}, []),
    ],
)
def test_a_start_says_which_models_do_not_chat(models: Path, env: dict[str, str], notes: list[str]) -> None:
    assert list(model_notes(env, models)) == notes


def test_a_path_is_looked_at_as_well(models: Path) -> None:
    assert list(model_notes({"SLUICE_MODEL": str(models / "bare.gguf")}, models / "none")) == [BARE]
