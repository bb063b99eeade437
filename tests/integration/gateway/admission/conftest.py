"""Every test here runs on both engines; on DynamoDB Local where it is there (what the run prints first says so)."""

import os
from collections.abc import Iterator

import pytest

from tests.integration.gateway.admission import engines
from tests.integration.gateway.admission.world import Account, Engine

REQUIRED = os.environ.get("SUITE_REQUIRED") == "1"
ENGINES = ["dynoxide", "dynamodb_local"] if REQUIRED or engines.why_no_referee() is None else ["dynoxide"]


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "dynamodb_local" and (reason := engines.why_no_referee()):
        pytest.fail(reason)
    with getattr(engines, request.param)() as url:
        running = Engine(request.param, url)
        yield running
        running.close()


@pytest.fixture
def account(engine: Engine) -> Account:
    return engine.account()
