"""The examples in README.md work when they are pasted."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.system import System

pytestmark = pytest.mark.one_machine("the commands for it")

README = (Path(__file__).parents[2] / "README.md").read_text()
MARKED = re.compile(r"<!-- run by tests/e2e/test_readme\.py -->\n```(\w+)\n(.*?)```", re.DOTALL)


def test_the_pasted_examples_answer(system: System) -> None:
    blocks = [
        (language, block.replace("http://127.0.0.1:8080", system.base_url))
        for language, block in MARKED.findall(README)
    ]
    assert [language for language, _ in blocks] == ["sh", "python", "sh"]
    script = "\necho\n".join(_as_shell(language, block) for language, block in blocks)
    done = subprocess.run(
        ["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=200, env=_environment()
    )
    assert done.returncode == 0, done.stderr
    assert '"verification_sent"' in done.stdout and '"verified"' in done.stdout
    assert "The capital of France is Paris." in done.stdout
    answered, _, revoked = done.stdout.rpartition("17\n")
    assert answered, "the streamed answer did not end with 17"
    assert '"completion_tokens"' in revoked and '"revoked"' in revoked and '"invalid_api_key"' in revoked


def _as_shell(language: str, block: str) -> str:
    return block if language == "sh" else f"{sys.executable} - <<'EOF'\n{block}\nEOF\n"


def _environment() -> dict[str, str]:
    """The environment of a terminal without any setting of ours."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SLUICE_", "OPENAI_", "AWS_"))}
    return own | {"PATH": f"{Path(sys.executable).parent}:{own['PATH']}", "no_proxy": "127.0.0.1"}
