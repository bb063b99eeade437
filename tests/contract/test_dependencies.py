"""docs/dependencies.md and pyproject.toml name the same packages."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_dependency_has_its_reason_and_the_reverse() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["otel"]
    groups = project["dependency-groups"]
    names = {re.split(r"[\[=<>!~ ]", line)[0] for line in wanted + groups["dev"] + groups["setup"]}
    tables = (ROOT / "docs" / "dependencies.md").read_text().split("## Vendored")[0]
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", tables, re.MULTILINE)) == names
