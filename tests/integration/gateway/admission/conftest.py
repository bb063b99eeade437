"""Every test here runs on both engines; on DynamoDB Local only if it is installed (the run's header says so)."""

from collections.abc import Iterator

import pytest

from tests.integration.gateway.admission import engines
from tests.integration.gateway.admission.world import Account, Engine


@pytest.fixture(scope="session", params=engines.names())
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "dynamodb_local":
        engines.need_referee()
    with getattr(engines, request.param)() as url:
        running = Engine(request.param, url)
        yield running
        running.close()


@pytest.fixture
def account(engine: Engine) -> Account:
    return engine.account()
