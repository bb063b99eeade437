"""`sluice ledger reconcile` finds, reports and repairs differences from the ledger."""

from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.commands.ledger import command
from sluice.adapters.aws import dynamo
from sluice.domain.accounts.account import Account
from sluice.domain.gateway.admission import AdmissionRequest, Limits
from sluice.domain.ids import request_id
from sluice.domain.periods import period_of
from sluice.services.gateway.admit import Admission
from sluice.services.gateway.settle import Outcome, settle
from sluice.services.usage import reconcile
from sluice.wiring import stores
from tests.integration.usage.world import HOUR_MS, UsageWorld, now_ms, table
from tests.store_clients import forget_store_clients


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "PAUSE_SECONDS", 0.01)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["reconcile", *arguments])


def busy_past(world: UsageWorld) -> Account:
    """Ten requests through admission and settlement, metered, and one that runs."""
    account = world.account()
    world.set_grant(account.account_id, live={"tok_a": 4_102_444_800})
    admission = Admission(stores.hot_store(), Limits(60, 40_000, 4, 1_000_000))

    def admit() -> Any:
        now = now_ms()
        request = AdmissionRequest(account.account_id, request_id(now), "tok_a", 50, "demo", "chat.completions", False)
        return admission.admit(request, now * 1_000_000)

    records = []
    for place in range(10):
        admitted = admit()
        record, _ = settle(
            stores.hot_store(), account.account_id, admitted.request.request_id, admitted.lease, Outcome(200, place, 7)
        )
        records.append(record)
    world.deliver(records)
    admit()
    return account


def test_correct_roll_ups_have_no_difference(world: UsageWorld) -> None:
    busy_past(world)
    result = run()
    assert (result.exit_code, result.output) == (0, "1 accounts, 0 differences\n")


def test_every_kind_of_difference_is_reported_and_repaired(world: UsageWorld) -> None:
    account = busy_past(world)
    world.record(account.account_id, at_ms=now_ms() - HOUR_MS, period=202001)  # which metering never saw
    (bucket,) = world.rollups(account.account_id)
    dynamo.client().update_item(
        TableName=table("rollups"),
        Key=dynamo.item({"account_id": account.account_id, "bucket": bucket.key}),
        UpdateExpression="ADD prompt_tokens :some",
        ExpressionAttributeValues=dynamo.item({":some": 1000}),
    )
    stray = f"2026-01-02#gone#{bucket.token_id}"
    world.put_item(
        "rollups",
        account_id=account.account_id,
        bucket=stray,
        requests=1,
        prompt_tokens=2,
        completion_tokens=3,
        cost_micro_usd=4,
        response_time_ms=5,
    )
    charged = world.item("grants", account_id=account.account_id)["period_tokens"]
    world.set_grant(account.account_id, period_tokens=charged + 77)

    told = run("--account", account.account_id)
    assert told.exit_code == 1
    for expected in ("never rolled up", bucket.key, stray, f"quota {period_of(now_ms())}: {charged + 77} tokens"):
        assert expected in told.output
    assert told.output.endswith("1 accounts, 4 differences\n")
    assert run().output == told.output, "telling changes nothing"

    fixed = run("--fix")
    assert fixed.exit_code == 0
    assert fixed.output.count("(repaired)") == 4
    again = run()
    assert (again.exit_code, again.output) == (0, "1 accounts, 0 differences\n")
    assert world.item("grants", account_id=account.account_id)["period_tokens"] == charged
    headers = world.login(account)
    days = world.client.get("/usage?from=2020-01-01", headers=headers).json["data"]
    assert "2026-01-02" not in [row["key"] for row in days]


def test_an_unreachable_store_is_reported_in_plain_words(world: UsageWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_store_clients()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    result = run()
    assert result.exit_code == 2
    assert "the store does not answer" in result.output
