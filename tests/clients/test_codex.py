"""Codex CLI against the scripted model: it reads a file, edits it with its own patch tool, and ends."""

from pathlib import Path

from tests.clients import puppet, recorder, run
from tests.clients.install import node_modules
from tests.clients.puppet import Scripted

CONFIG = """
model = "demo"
model_provider = "sluice"
check_for_update_on_startup = false
analytics = {{ enabled = false }}
[model_providers.sluice]
name = "Sluice"
base_url = "{url}/v1"
env_key = "SLUICE_TOKEN"
wire_api = "responses"
"""
PATCH = "*** Begin Patch\n*** Update File: tea.txt\n@@\n-green\n+black\n*** End Patch"
STEPS = (("exec_command", {"cmd": "cat tea.txt"}), ("exec_command", {"cmd": f"apply_patch <<'EOF'\n{PATCH}\nEOF\n"}))


def test_it_edits_a_file_over_responses_and_the_ledger_has_the_engines_counts(
    scripted: Scripted, tmp_path: Path
) -> None:
    home, tea = tmp_path / "home", tmp_path / "work" / "tea.txt"
    (home / ".codex").mkdir(parents=True)
    tea.parent.mkdir()
    tea.write_text("green\n")
    scripted.puppet.mind = puppet.working(*STEPS)
    # The only commands are those above, so its own sandbox, which not every machine allows, is not needed.
    words = ("exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", "Make tea.txt say black.")
    env = run.environment(home, SLUICE_TOKEN=scripted.person.api_token)
    with recorder.recorded("codex", scripted.person.base_url, tmp_path) as url:
        (home / ".codex" / "config.toml").write_text(CONFIG.format(url=url))
        said = run.finished((node_modules() / ".bin" / "codex", *words), env, tea.parent)
    assert said.strip() == "The file says black now." and tea.read_text() == "black\n"
    assert len(scripted.puppet.counts) == 3
    scripted.check_ledger()
