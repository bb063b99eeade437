"""The same random lives on Dynoxide, but fewer because each step is a call. They check the fake against the store."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from sluice.adapters.aws import dynamo
from sluice.adapters.gateway.grant_item import family_key, limits_attribute, token_use_attribute
from sluice.domain.gateway.admission import Grant, TokenUse
from sluice.domain.usage.ledger import LedgerRecord
from tests.integration.gateway.admission.world import Account, Engine, running_engine
from tests.property.machine import AdmissionMachine, Lossy
from tests.rounds import rounds


def _token_limits(uses: Mapping[str, TokenUse]) -> dict[str, Any]:
    return {"M": {family_key(family): token_use_attribute(use) for family, use in uses.items()}}


STORED: Mapping[str, Callable[[Any], dict[str, Any]]] = {"limits": limits_attribute, "token_limits": _token_limits}


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
            attribute = {"token_limits": "tl", "monthly_micro_usd": "ml"}.get(name, name)
            update: dict[str, Any] = {"UpdateExpression": f"REMOVE {attribute}"}
            if value is not None:
                update = {"UpdateExpression": f"SET {attribute} = :value"}
                update["ExpressionAttributeValues"] = {":value": STORED.get(name, dynamo.attribute)(value)}
            key = {"account_id": {"S": self.account_id}}
            self.engine.client.update_item(TableName="t-grants", Key=key, **update)

    def truth(self) -> Grant:
        return self.account.grant()

    def records(self) -> dict[str, LedgerRecord]:
        return {record.request_id: record for record in self.account.records()}


@pytest.fixture(scope="module")
def dynoxide() -> Iterator[Engine]:
    with running_engine() as running:
        yield running


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
