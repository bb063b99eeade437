"""The same random lives on Dynoxide, but fewer because each step is a call. They check the fake against the store."""

import os
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from sluice.adapters.aws import dynamo
from sluice.adapters.gateway.grant_item import limits_attribute
from sluice.domain.gateway.admission import Grant
from sluice.domain.usage.ledger import LedgerRecord
from tests.integration.gateway.admission import engines
from tests.integration.gateway.admission.world import Account, Engine
from tests.property.machine import AdmissionMachine, Lossy
from tests.rounds import rounds


class OnDynoxide(AdmissionMachine):
    engine: ClassVar[Engine]

    def new_world(self, grant: Grant) -> None:
        self.account = Account(self.engine, {})
        self.account_id = self.account.id
        self.account.write(live=dict(grant.live), period=grant.period, limits=limits_attribute(grant.limits))
        self.store = Lossy(self.engine.store)

    def change(self, **fields: Any) -> None:
        """Changes one attribute, as the account side does, and leaves the rest of the item."""
        for name, value in fields.items():
            stored = limits_attribute(value) if name == "limits" else dynamo.attribute(value)
            self.engine.client.update_item(
                TableName="t-grants",
                Key={"account_id": {"S": self.account_id}},
                UpdateExpression=f"SET {name} = :value",
                ExpressionAttributeValues={":value": stored},
            )

    def truth(self) -> Grant:
        return self.account.grant()

    def records(self) -> dict[str, LedgerRecord]:
        return {record.request_id: record for record in self.account.records()}


@pytest.fixture(scope="module")
def dynoxide() -> Iterator[Engine]:
    with engines.dynoxide() as url:
        running = Engine("dynoxide", url)
        yield running
        running.close()


def test_random_lives_on_the_real_store_match_the_model(dynoxide: Engine) -> None:
    OnDynoxide.engine = dynoxide
    examples = int(os.environ.get("SLUICE_PROPERTY_EXAMPLES", rounds(15, 4)))
    few = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        derandomize="SLUICE_PROPERTY_EXAMPLES" not in os.environ,
    )
    run_state_machine_as_test(OnDynoxide, settings=few)
