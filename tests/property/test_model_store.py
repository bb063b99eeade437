"""Random lives of an account on the in-memory store: thousands of steps, in seconds.

The suite runs the same lives each time. With `SLUICE_PROPERTY_EXAMPLES` it runs that number of new ones.
"""

import os
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from sluice.domain.gateway.admission import Grant
from sluice.domain.usage.ledger import LedgerRecord
from tests.fakes.hot_store import FakeHotStore
from tests.property.machine import AdmissionMachine, Lossy
from tests.rounds import rounds


class OnTheFake(AdmissionMachine):
    def new_world(self, grant: Grant) -> None:
        self.account_id, self.fake = "usr_a", FakeHotStore()
        self.fake.grants["usr_a"] = replace(grant, account_id="usr_a")
        self.store = Lossy(self.fake)

    def change(self, **fields: Any) -> None:
        self.fake.grants["usr_a"] = replace(self.fake.grants["usr_a"], **fields)

    def truth(self) -> Grant:
        return self.fake.grants["usr_a"]

    def records(self) -> dict[str, LedgerRecord]:
        return self.fake.ledger


def test_random_lives_on_the_model_store_match_the_model() -> None:
    many = settings(
        max_examples=int(os.environ.get("SLUICE_PROPERTY_EXAMPLES", rounds(250, 60))),
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # shrinking takes minutes; a failing life is short enough to read
        derandomize="SLUICE_PROPERTY_EXAMPLES" not in os.environ,
    )
    run_state_machine_as_test(OnTheFake, settings=many)
