"""`system`: one running system for all end-to-end tests; `new_system`: a separate system for one test."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.people import close_sdks
from tests.e2e.system import System

NewSystem = Callable[..., System]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A ready system with high limits and no login throttles. Tests that kill or configure one use `new_system`."""
    running = System(tmp_path_factory.mktemp("e2e") / "data")
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def _close_sdks() -> Iterator[None]:
    yield
    close_sdks()


@pytest.fixture
def new_system(tmp_path: Path) -> Iterator[NewSystem]:
    """`new_system(env={…}, name="data", port=None)` returns a system that the test starts; it is stopped afterwards."""
    made: list[System] = []

    def make(env: Mapping[str, str] | None = None, name: str = "data", port: int | None = None) -> System:
        made.append(System(tmp_path / name, env, port))
        return made[-1]

    yield make
    for one in made:
        one.stop()
