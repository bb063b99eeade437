"""OpenCode against the scripted model: it reads a file, edits it with its own tools, and ends."""

import json
from pathlib import Path

import pytest

from tests.clients import puppet, run
from tests.clients.install import node_modules
from tests.clients.puppet import Scripted

OFF = ("AUTOUPDATE", "DEFAULT_PLUGINS", "LSP_DOWNLOAD", "MODELS_FETCH", "SHARE")


def edited(provider: str, scripted: Scripted, folder: Path) -> str:
    """What `tea.txt` says afterwards."""
    home, tea = folder / "home", folder / "work" / "tea.txt"
    (home / ".config" / "opencode").mkdir(parents=True)
    options = {"baseURL": scripted.person.base_url + "/v1", "apiKey": scripted.person.api_token}
    models = {"demo": {"limit": {"context": 131_072, "output": 8_192}}}
    config = {"model": "sluice/demo", "provider": {"sluice": {"npm": provider, "options": options, "models": models}}}
    (home / ".config" / "opencode" / "opencode.json").write_text(json.dumps(config))
    tea.parent.mkdir()
    tea.write_text("green\n")
    change = {"filePath": str(tea), "oldString": "green", "newString": "black"}
    scripted.puppet.mind = puppet.working(("read", {"filePath": str(tea)}), ("edit", change))
    env = run.environment(home, **{f"OPENCODE_DISABLE_{name}": "1" for name in OFF})
    said = run.finished((program(), "run", "Make tea.txt say black."), env, tea.parent)
    assert said.strip() == "The file says black now."
    return tea.read_text()


def program() -> Path:
    found = next(node_modules().glob("opencode-*/bin/opencode"), None)
    if found is None:
        pytest.skip("OpenCode's package is locked for Linux on x86-64 only")
    return found


@pytest.mark.parametrize("provider", ["@ai-sdk/openai-compatible", "@ai-sdk/anthropic"])
def test_it_edits_a_file_and_the_ledger_has_the_engines_counts(
    provider: str, scripted: Scripted, tmp_path: Path
) -> None:
    assert edited(provider, scripted, tmp_path) == "black\n"
    assert len(scripted.puppet.counts) == 4  # one makes a title for the session
    scripted.check_ledger()
