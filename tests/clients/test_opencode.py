"""OpenCode against the scripted model: it reads a file, edits it with its own tools, and ends."""

import json
from pathlib import Path

import pytest

from tests.clients import puppet, recorder, run
from tests.clients.install import node_modules
from tests.clients.puppet import Scripted

OFF = ("AUTOUPDATE", "DEFAULT_PLUGINS", "LSP_DOWNLOAD", "MODELS_FETCH", "SHARE")


def configured(home: Path, provider: str, url: str, api_token: str) -> None:
    models = {"demo": {"limit": {"context": 131_072, "output": 8_192}}}
    named = {"npm": provider, "options": {"baseURL": url + "/v1", "apiKey": api_token}, "models": models}
    (home / ".config" / "opencode").mkdir(parents=True)
    config = {"model": "sluice/demo", "provider": {"sluice": named}}
    (home / ".config" / "opencode" / "opencode.json").write_text(json.dumps(config))


def program() -> Path:
    found = next(node_modules().glob("opencode-*/bin/opencode"), None)
    if found is None:
        pytest.skip("OpenCode's package is locked for Linux on x86-64 only")
    return found


@pytest.mark.parametrize("provider", ["openai-compatible", "anthropic"])
def test_it_edits_a_file_and_the_ledger_has_the_engines_counts(
    provider: str, scripted: Scripted, tmp_path: Path
) -> None:
    home, tea = tmp_path / "home", tmp_path / "work" / "tea.txt"
    tea.parent.mkdir()
    tea.write_text("green\n")
    change = {"filePath": str(tea), "oldString": "green", "newString": "black"}
    scripted.puppet.mind = puppet.working(("read", {"filePath": str(tea)}), ("edit", change))
    env = run.environment(home, **{f"OPENCODE_DISABLE_{name}": "1" for name in OFF})
    with recorder.recorded(f"opencode-{provider}", scripted.person.base_url, tmp_path) as url:
        configured(home, f"@ai-sdk/{provider}", url, scripted.person.api_token)
        said = run.finished((program(), "run", "Make tea.txt say black."), env, tea.parent)
    assert said.strip() == "The file says black now." and tea.read_text() == "black\n"
    assert len(scripted.puppet.counts) == 4  # one makes a title for the session
    scripted.check_ledger()
