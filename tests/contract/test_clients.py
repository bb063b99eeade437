"""docs/clients.md: every client that is run has its row, with the version that is locked; the page's age is known."""

from datetime import date

import pytest

from tests.clients.catalogue import CLIENTS, HERE
from tests.contract import figures, markdown
from tests.contract.test_figures import MEASURED

PAGE = "docs/clients.md"
RUNS = ("layers/core/**", "functions/gateway/**", "functions/inference/**")


def test_every_client_has_its_tests() -> None:
    assert {path.stem.removeprefix("test_") for path in HERE.glob("test_*.py")} == set(CLIENTS)


def test_every_client_has_its_row_with_the_locked_version() -> None:
    expected = [(one.title, f"`{one.package}` {one.version}", one.setting) for one in CLIENTS.values()]
    assert [(row[0], row[1], row[4]) for row in markdown.rows(markdown.read(PAGE))] == expected


def test_a_page_older_than_its_code_is_printed() -> None:
    """Never fails: the page may be older for a while. The skip's reason stands in pytest's summary."""
    if reason := figures.why_unknown():
        pytest.skip(f"cannot tell: {reason}")
    (commit,) = MEASURED.findall(markdown.read(PAGE))
    page = figures.Figure("clients", "make test-clients", "", date.min, commit, RUNS)
    if newer := figures.newer_commit(page):
        pytest.skip(
            f"docs/clients.md is of {commit}, older than {newer}: `make test-clients`, python -m tests.clients.page"
        )
