"""Shared by the suites below tests/aws: one build, one transformed template, and the rule for missing tools."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

from tests.aws.built import BuildFailed, built
from tests.aws.runtime import tools

REQUIRED = os.environ.get("SUITE_REQUIRED") == "1"


def missing(what: str) -> NoReturn:
    """Fails the test if the suite is required (.ci/run), else skips it, because a tool is missing. Does not return."""
    if REQUIRED:
        pytest.fail(f"missing, and SUITE_REQUIRED=1: {what}", pytrace=False)
    pytest.skip(what)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of the recorded calls last, because another run may still be writing the record."""
    items.sort(key=lambda item: item.path.parent.name == "iam")


@pytest.fixture(scope="session")
def build() -> Path:
    """`built()`, or a skip where this machine has no Python of the functions' version."""
    if reason := tools.why_no_python():
        missing(reason)
    try:
        return built()
    except BuildFailed as exc:
        pytest.fail(f"sam build failed:\n{exc}", pytrace=False)
