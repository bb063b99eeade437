"""docs/card.md: each row names existing files and commands, and each package is imported where its row says."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

from tests.contract import markdown
from tests.contract.markdown import ROOT, code, section

PAGE = markdown.read("docs/card.md")
ROWS = markdown.rows(PAGE)
PACKAGES = {row[0].strip("`"): row for row in markdown.rows(section(PAGE, "Packages"))}
MODULES = {"pyjwt": "jwt", "llama-cpp-python": "llama_cpp", "localstack-client": "localstack_client"}
REQUIRED = {
    "flask", "gunicorn", "boto3", "pynamodb", "pyjwt", "llama-cpp-python", "localstack-client", "moto", "pydantic",
    "functions/", "infra/", "layers/", "tests/", "template.yaml", "localstack-compose.yml",
    "registration", "email verification", "API tokens: issue, revoke", "rate-limited gateway", "inference",
    "LocalStack", "sam local", "mail triggered by an event",
}  # fmt: skip
PATH = re.compile(r"[\w.-]+(/[\w.-]*)+|[\w-]+\.(?:ya?ml|toml|md)")


def test_every_required_part_has_one_row() -> None:
    names = [row[0].strip("`") for row in ROWS]
    assert len(names) == len(set(names))
    assert set(names) >= REQUIRED


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_a_row_names_existing_files_and_commands(row: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name in code(" ".join(row)):
        if name.startswith("make "):
            assert name.removeprefix("make ") in targets, name
        elif PATH.fullmatch(name):
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_a_row_names_its_test_or_command_and_when_it_ran(row: list[str]) -> None:
    assert code(row[-2]), "no test and no command"
    days = re.findall(r"\d{4}-\d\d-\d\d", row[-1])
    assert days or "never run" in row[-1], row[-1]
    assert all(date.fromisoformat(day) for day in days)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_pinned_and_imported(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"]
    names = {re.split(r"[\[=<>!~ ]", line)[0] for line in wanted + project["dependency-groups"]["dev"]}
    assert package in names
    imported = re.compile(rf"^\s*(?:import|from) {MODULES.get(package, package)}\b", re.MULTILINE)
    where = ROOT / code(PACKAGES[package][1])[0]
    assert any(imported.search(file.read_text()) for file in _modules(where)), f"{where} does not import it"


def _modules(where: Path) -> list[Path]:
    return sorted(where.rglob("*.py")) if where.is_dir() else [where]
