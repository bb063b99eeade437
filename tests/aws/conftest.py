"""What the suites below tests/aws share: one build, one transformed template; what is missing here fails or skips."""

import os
import shutil
from pathlib import Path

import pytest

from tests.aws.built import BuildFailed, built

REQUIRED = os.environ.get("SUITE_REQUIRED") == "1"


def missing(what: str) -> None:
    """A tool that this machine lacks: a failure where the suite is required (.ci/run), else a skip. Does not return."""
    if REQUIRED:
        pytest.fail(f"missing, and SUITE_REQUIRED=1: {what}", pytrace=False)
    pytest.skip(what)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The roles' record last: where another run writes it, that run needs its time."""
    items.sort(key=lambda item: item.path.parent.name == "iam")


@pytest.fixture(scope="session")
def build() -> Path:
    """`built()`, or a skip where this machine has no Python of the functions' version."""
    if shutil.which("python3.11") is None:
        missing("no python3.11 on the path, which `sam build` needs for functions of that runtime")
    try:
        return built()
    except BuildFailed as exc:
        pytest.fail(f"sam build failed:\n{exc}", pytrace=False)
