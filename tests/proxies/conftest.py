"""`front`: each proxy in turn, before `home`: a system with throttles, whose model server the test controls."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import _close_sdks  # noqa: F401 (a fixture)
from tests.e2e.people import Person, newcomer
from tests.e2e.system import System
from tests.proxies import front as fronts
from tests.proxies.front import CADDY, DOMAIN, NGINX, Front
from tests.proxies.stepped_engine import SteppedEngine

SETTINGS = """
[[upstreams]]
name = "stepped"
kind = "openai"
models = ["demo"]
url = "{url}"
"""


@pytest.fixture(scope="session")
def model_server() -> Iterator[SteppedEngine]:
    made = SteppedEngine()
    yield made
    made.stop()


@pytest.fixture
def engine(model_server: SteppedEngine) -> SteppedEngine:
    model_server.rest()
    return model_server


@pytest.fixture(scope="session")
def home(model_server: SteppedEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("home")
    (folder / "sluice.toml").write_text(SETTINGS.format(url=model_server.url))
    variables = {
        "SLUICE_CONFIG": str(folder / "sluice.toml"),
        "SLUICE_AUTH_THROTTLE": "on",
        "SLUICE_BASE_URL": f"https://{DOMAIN}",
        "SLUICE_TRUSTED_PROXIES": "127.0.0.1,::1",
    }
    system = System(folder / "data", variables)
    try:
        yield system.start()
    finally:
        system.discard()


@pytest.fixture(scope="session")
def person(home: System) -> Person:
    return newcomer(home.base_url)


@pytest.fixture(scope="session", params=[CADDY, NGINX])
def front(request: pytest.FixtureRequest, home: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    fronts.need(request.param)
    with fronts.running(request.param, tmp_path_factory.mktemp("front") / "proxy", home.port) as made:
        yield made
