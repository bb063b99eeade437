"""Every test here runs on both engines; on DynamoDB Local only if it is installed (the run's header says so)."""

from collections.abc import Iterator

import pytest

from sluice.adapters.aws import dynamo
from sluice.adapters.aws.access import Access
from sluice.adapters.aws.dynamo_client import DynamoClient
from sluice.adapters.aws.json_service import DYNAMODB, JsonService
from sluice.adapters.gateway.grants import DynamoGrants
from tests.integration.gateway.admission import engines
from tests.integration.gateway.admission.world import PREFIX, REGION, Account, Engine, credentials


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


@pytest.fixture
def grants(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoGrants]:
    client = DynamoClient()
    client._service = JsonService(DYNAMODB, url=account.engine.url, granted=Access(REGION, credentials()))
    monkeypatch.setattr(dynamo, "client", lambda: client)
    yield DynamoGrants(PREFIX)
    client.close()
