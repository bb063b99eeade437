"""`new_home(settings)`: a system that is started with these settings of its owner; `SUITE_REQUIRED=1` makes a server
that cannot be installed a failure."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.conftest import _close_sdks  # noqa: F401 (a fixture)
from tests.e2e.system import System
from tests.peers import install
from tests.peers.servers import Peer
from tests.peers.stripe_mock import Running, stripe_mock_at

NewHome = Callable[..., System]


@pytest.fixture(scope="session")
def model_servers() -> None:
    _installed("the other model servers", install.python, install.other_models)


@pytest.fixture(scope="module")
def stripe_mock() -> Iterator[Running]:
    """Stripe's own imitation of its API: it checks every call against Stripe's OpenAPI document, and has no state."""
    (program,) = _installed("stripe-mock", install.stripe_mock)
    with stripe_mock_at(program) as running:
        yield running


def _installed(what: str, *steps: Callable[[], Path]) -> list[Path]:
    try:
        return [step() for step in steps]
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, LookupError) as exc:
        missing = f"{what} cannot be installed here: {exc}"
        if os.environ.get("SUITE_REQUIRED") == "1":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)


@pytest.fixture(scope="module")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewHome]:
    """`new_home(settings, env={…})` → a running system; `settings` is the text of its sluice.toml."""
    made: list[System] = []

    def make(settings: str, env: Mapping[str, str] | None = None) -> System:
        folder = tmp_path_factory.mktemp("home")
        (folder / "sluice.toml").write_text(settings)
        made.append(System(folder / "data", {"SLUICE_CONFIG": str(folder / "sluice.toml"), **(env or {})}))
        return made[-1].start()

    yield make
    for one in made:
        one.discard()


def upstream(peer: Peer, **more: str) -> str:
    """The table of an upstream in sluice.toml."""
    stated = {"name": peer.name, "kind": peer.kind, "url": peer.url, "key": f"env:{peer.variable}", **more}
    return "[[upstreams]]\n" + "".join(f'{key} = "{value}"\n' for key, value in stated.items())
