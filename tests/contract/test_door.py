"""README and CONTRIBUTING: short, and true to the tree: links, paths, commands, the map. And one version everywhere."""

import json
import re
import tomllib

import pytest

import sluice
from infra.openapi import TARGET
from tests.contract import markdown
from tests.contract.markdown import ROOT, code, section

LAYER = ROOT / "layers" / "core" / "sluice"
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/claims.md", "docs/card.md", "docs/api.md",
         "docs/security.md", "docs/performance.md", "docs/dependencies.md", "docs/adr/README.md")  # fmt: skip
MOST_WORDS = 900
CONTRIBUTING = markdown.read("CONTRIBUTING.md")
PATH = re.compile(r"(?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|ya?ml|toml|md)")
EXAMPLES = re.compile(r"COLUMN|NAME|NNNN|functions/exports|token_uses")  # names of files that a newcomer would add


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in markdown.links(markdown.read(page)):
        assert ((ROOT / page).parent / target).exists(), target


def test_the_readme_is_short() -> None:
    assert len(markdown.read("README.md").split()) < MOST_WORDS


def test_every_path_of_contributing_exists() -> None:
    named = {name for name in code(CONTRIBUTING) if PATH.fullmatch(name) and not EXAMPLES.search(name)}
    assert len(named) > 40
    assert {name for name in named if not any((base / name).exists() for base in (ROOT, LAYER))} == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/claims.md"])
def test_every_make_target_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b", " ".join(code(markdown.read(page))))) <= targets


def test_the_map_marks_the_existing_modules() -> None:
    head, *floors = re.findall(r"^(?: {12}accounts.*|\w+ .*[■·].*)$", section(CONTRIBUTING, "The map"), re.MULTILINE)
    columns = head.split()
    assert len(floors) == 7
    for line in floors:
        floor, *marks = line.split()[: len(columns) + 1]
        there = {name for name in columns if any((LAYER / floor / f"{name}{end}").exists() for end in ("", ".py"))}
        assert {name for name, mark in zip(columns, marks, strict=True) if mark == "■"} == there, floor


def test_the_version_is_the_same_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert sluice.__version__ == version == json.loads(TARGET.read_text())["info"]["version"]
    assert f"## [{version}]" in markdown.read("CHANGELOG.md")
