"""`python -m tests.contract.figures`: the figures of docs/claims.md that are older than the code they measure."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from tests.contract import markdown
from tests.contract.markdown import ROOT

COLUMNS = 6
NEVER_SEEN = "## Never seen"  # its table has checks, and no figures


@dataclass(frozen=True)
class Figure:
    """One row: what `command` printed on `day` at `commit`; `paths` are the globs of the code it measures."""

    claim: str
    command: str
    figure: str
    day: date
    commit: str
    paths: tuple[str, ...]


class Malformed(ValueError):
    """A row that lacks a part, with the row's first words."""


def figures(page: str = "docs/claims.md") -> list[Figure]:
    """Every row of the page's first table. Errors: Malformed."""
    return [_figure(cells) for cells in markdown.rows(markdown.read(page).partition(NEVER_SEEN)[0])]


def _figure(cells: Sequence[str]) -> Figure:
    if len(cells) != COLUMNS or not all(cells):
        raise Malformed(f"{cells[0][:60]!r}: {COLUMNS} filled cells are wanted")
    claim, command, figure, day, commit, paths = cells
    if not re.fullmatch(r"`[0-9a-f]{7,40}`", commit):
        raise Malformed(f"{claim[:60]!r}: {commit!r} is no commit in backticks")
    if not markdown.code(paths) or not markdown.code(command):
        raise Malformed(f"{claim[:60]!r}: commands and paths stand in backticks")
    try:
        return Figure(claim, command, figure, date.fromisoformat(day), commit.strip("`"), tuple(markdown.code(paths)))
    except ValueError as exc:
        raise Malformed(f"{claim[:60]!r}: {exc}") from exc


@cache
def why_unknown() -> str | None:
    """Why this copy of the project cannot tell a figure's age; None where it can."""
    try:
        top, shallow = _git("rev-parse", "--show-toplevel", "--is-shallow-repository").splitlines()
    except (OSError, subprocess.CalledProcessError):
        return "this copy has no history (no git, or no repository)"
    if Path(top).resolve() != ROOT.resolve():
        return "this copy has no history: the repository around it is another project's"
    return "this clone is shallow: `git fetch --unshallow` brings the history" if shallow == "true" else None


@cache
def is_known(commit: str) -> bool:
    return not subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT, capture_output=True
    ).returncode


def newer_commit(figure: Figure) -> str | None:
    """The last commit after the figure's that changed what it measures: hash and date. Needs the history."""
    paths = [f":(glob){path}" for path in figure.paths]
    return _git("log", "-1", "--format=%h of %cs", f"{figure.commit}..HEAD", "--", *paths) or None


def older_than_code() -> dict[Figure, str]:
    """Each stale figure → the commit that changed its code."""
    found = {figure: newer_commit(figure) for figure in figures() if is_known(figure.commit)}
    return {figure: newer for figure, newer in found.items() if newer is not None}


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    if reason := why_unknown():
        print(f"cannot tell how old the figures are: {reason}")
        return
    stale = older_than_code()
    print(f"{len(stale)} of {len(figures())} figures are older than the code they measure")
    for figure, newer in stale.items():
        print(
            f"- {figure.claim[:90]}\n  measured {figure.day} at {figure.commit}; changed by {newer}; {figure.command}"
        )


if __name__ == "__main__":
    main()
