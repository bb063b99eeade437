"""The same stack, deployed again with another parameter."""

import pytest

from tests.aws.emulator.deployment import Deployment
from tests.aws.emulator.people import newcomer
from tests.e2e.people import Person, ask, log_in

pytestmark = pytest.mark.timeout(900)


def test_a_changed_limit_takes_effect_with_the_next_deployment_and_data_is_kept(
    deployment: Deployment, ada: Person
) -> None:
    before = ada.call("GET", "/account").json()
    recorded = requests_of(deployment, before["id"])
    api, base_url = deployment.physical["Api"], deployment.base_url
    deployment.deploy(DefaultRpm="7")
    assert (deployment.physical["Api"], deployment.base_url) == (api, base_url)

    assert newcomer(deployment).call("GET", "/account").json()["limits"]["rpm"] == 7
    assert ada.call("GET", "/account").json()["limits"] == before["limits"], "an account keeps the limits it was given"
    assert ask(ada, "What is 2 + 2?", max_tokens=8).status_code == 200, "sessions and tokens live on"
    now = requests_of(deployment, before["id"])
    assert recorded < now and len(now - recorded) == 1
    assert log_in(base_url, ada.email).call("GET", "/account").json()["id"] == before["id"]


def requests_of(deployment: Deployment, account_id: str) -> set[str]:
    """Of others the sweeper may settle one meanwhile."""
    return {item["request_id"]["S"] for item in deployment.items("LedgerTable", account_id=account_id)}


def test_deploying_the_same_again_changes_nothing(deployment: Deployment) -> None:
    before = dict(deployment.physical)
    deployment.deploy()
    assert deployment.physical == before
