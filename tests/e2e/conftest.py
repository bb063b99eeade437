"""`system`: one running system or stack for all end-to-end tests; `new_system`: a separate system for one test.

The suite runs on the place that `SLUICE_E2E` names (tests/e2e/place.py). Tests of one machine are skipped on a stack.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e import place
from tests.e2e.people import close_sdks
from tests.e2e.place import Place
from tests.e2e.system import System

NewSystem = Callable[..., System]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            own = item.get_closest_marker("one_machine")
            there = (place.LOCAL, *place.BEHIND_PROXIES) if own and own.kwargs.get("proxied") else (place.LOCAL,)
            if own and place.CHOSEN not in there:
                item.add_marker(pytest.mark.skip(f"of one machine only: {own.args[0]}"))


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """It has high limits and no login throttles. Tests that kill or configure a system use `new_system`."""
    with place.running(tmp_path_factory.mktemp("e2e")) as chosen:
        yield chosen


@pytest.fixture(autouse=True)
def _close_sdks() -> Iterator[None]:
    yield
    close_sdks()


@pytest.fixture
def new_system(tmp_path: Path) -> Iterator[NewSystem]:
    """`new_system(env={…}, name="data", port=None)` returns a system that the test starts; it is stopped afterwards."""
    if place.CHOSEN != place.LOCAL:
        pytest.skip("of one machine only: it starts a system of its own")
    made: list[System] = []

    def make(env: Mapping[str, str] | None = None, name: str = "data", port: int | None = None) -> System:
        made.append(System(tmp_path / name, env, port))
        return made[-1]

    yield make
    for one in made:
        one.discard()
