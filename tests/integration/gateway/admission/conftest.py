"""Every test here runs on both engines; on DynamoDB Local where it is there."""

from collections.abc import Iterator

import pytest

from tests.integration.gateway.admission import engines
from tests.integration.gateway.admission.world import Account, Engine


@pytest.fixture(scope="session", params=["dynoxide", "dynamodb_local"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "dynamodb_local" and (reason := engines.why_no_referee()):
        pytest.skip(reason)
    with getattr(engines, request.param)() as url:
        running = Engine(request.param, url)
        yield running
        running.close()


@pytest.fixture
def account(engine: Engine) -> Account:
    return engine.account()
