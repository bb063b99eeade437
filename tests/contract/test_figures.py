"""docs/claims.md: each figure has its command, date, commit and code; which are older than that code is printed."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.contract import figures, markdown
from tests.contract.markdown import ROOT

PAGES_WITH_MEASUREMENTS = ("docs/clients.md", "docs/performance.md")
MEASURED = re.compile(r"Measured on \d{4}-\d\d-\d\d at commit `([0-9a-f]{7,40})`")


@pytest.mark.parametrize("figure", figures.figures(), ids=lambda figure: figure.claim[:40])
def test_a_figure_names_code_that_exists(figure: figures.Figure) -> None:
    for path in figure.paths:
        assert next(ROOT.glob(path), None), f"{path} matches no file"


def test_every_commit_is_of_this_history() -> None:
    if reason := figures.why_unknown():
        pytest.skip(f"cannot tell: {reason}")
    named = {figure.commit for figure in figures.figures()}
    for page in PAGES_WITH_MEASUREMENTS:
        named |= set(MEASURED.findall(markdown.read(page)))
    assert {commit for commit in named if not figures.is_known(commit)} == set()


def test_figures_older_than_their_code_are_printed() -> None:
    """Never fails: a figure may be older for a while. The skip's reason stands in pytest's summary."""
    if reason := figures.why_unknown():
        pytest.skip(f"cannot tell: {reason}")
    if stale := figures.older_than_code():
        names = ", ".join(figure.claim[:30] for figure in stale)
        pytest.skip(f"{len(stale)} older than their code (`python -m tests.contract.figures`): {names}")


@pytest.mark.parametrize("page", PAGES_WITH_MEASUREMENTS)
def test_every_chapter_with_measurements_has_date_and_commit(page: str) -> None:
    for chapter in re.split(r"^# (?=.)", markdown.read(page), flags=re.MULTILINE):
        assert MEASURED.search(chapter) or not markdown.rows(chapter), chapter.partition("\n")[0]


@pytest.mark.parametrize(
    "row", ["| a | `b` | c | 2026-11-21 | `abcdef0` |", "| a | `b` | c | then | `abcdef0` | `d` |"]
)
def test_a_row_that_lacks_a_part_is_named(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "read", lambda _: f"| head |\n| --- |\n{row}\n")
    with pytest.raises(figures.Malformed, match="'a'"):
        figures.figures()


def test_without_history_the_age_of_figures_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "no history" in str(figures.why_unknown.__wrapped__())


def test_in_a_shallow_clone_the_age_of_figures_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, shallow = tmp_path / "source", tmp_path / "shallow"
    _git("init", "--quiet", str(source))
    for number in "12":
        _git("-C", str(source), "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-m", number)
    _git("clone", "--quiet", "--depth", "1", f"file://{source}", str(shallow))
    monkeypatch.setattr(figures, "ROOT", shallow)
    assert "shallow" in str(figures.why_unknown.__wrapped__())


def _git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True)
