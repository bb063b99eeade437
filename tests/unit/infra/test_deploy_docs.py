"""The commands, parameters, links and modules in the pages about deployment exist."""

import re
from pathlib import Path

import pytest

from infra.aws.building import ROOT
from infra.aws.parameters import defaults
from infra.cli import COMMANDS

PAGES = [ROOT / "docs" / name for name in ("deploy.md", "local.md", "operations.md", "scaling.md", "cost.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"`(?:SLUICE_\w+=\S+ )?sluice ([a-z]+)", text))
    assert named <= set(COMMANDS)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets


def test_every_parameter_that_is_named_is_in_the_template() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    parameters = set(defaults())
    named = set(re.findall(r"`([A-Z][A-Za-z]+)=", text)) | set(re.findall(r"--parameter '?([A-Za-z]+)=", text))
    assert named and named <= parameters, named - parameters


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_command_runs_exists(page: Path) -> None:
    for name in re.findall(r"python -m ([a-z_.]+)", page.read_text()):
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), name
