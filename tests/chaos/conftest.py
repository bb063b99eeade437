"""`system`: a `make up` of each test's own, whose sweeper comes every few seconds. `data_dir`: of a gateway alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.adapters.tokens.keys import ensure_keys
from tests.e2e.system import System

SWEEP_SECONDS = 5


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    running = System(tmp_path / "data", {"SLUICE_SWEEP_SECONDS": str(SWEEP_SECONDS)})
    try:
        yield running.start()
    finally:
        running.discard()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gateway")
    ensure_keys(made)
    return made
