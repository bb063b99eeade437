"""`GET /account`: limits and the month's usage, on a real store."""

import time

from sluice.domain.periods import period_of
from tests.integration.accounts.world import World


def test_a_new_account_has_its_limits_and_no_usage(world: World) -> None:
    account = world.account()
    answer = world.client.get("/account", headers=world.login(account))
    assert answer.status_code == 200
    period = period_of(time.time_ns() // 1_000_000)
    assert answer.json == {
        "id": account.account_id,
        "email": account.email,
        "name": "Ann",
        "role": "user",
        "created_at": answer.json["created_at"],
        "identities": [],
        "language": None,
        "mails": ["quota.reached", "token.expiring"],
        "terms": None,
        "plan": None,
        "limits": {"rpm": 60, "tpm": 40_000, "concurrency": 4, "monthly_tokens": 1_000_000, "monthly_usd": None},
        "usage": {"period": f"{period // 100}-{period % 100:02d}", "tokens": 0, "requests": 0, "cost_usd": None},
    }


def test_tokens_reserved_by_running_requests_do_not_count_as_used(world: World) -> None:
    from sluice import settings
    from sluice.adapters.aws import dynamo
    from sluice.adapters.gateway.grant_item import lease_attribute
    from sluice.domain.gateway.leases import Lease

    account, now_ms = world.account(), time.time_ns() // 1_000_000
    lease = Lease(now_ms + 30_000, 600, 1, period_of(now_ms), "tok_x", "demo", "chat.completions", False)
    dynamo.client().update_item(
        TableName=settings.common().table_prefix + "grants",
        Key={"account_id": {"S": account.account_id}},
        UpdateExpression="SET period_tokens = :t, leases.#r = :l",
        ExpressionAttributeNames={"#r": "x"},
        ExpressionAttributeValues={":t": {"N": "1000"}, ":l": lease_attribute(lease)},
    )
    assert world.client.get("/account", headers=world.login(account)).json["usage"]["tokens"] == 400


def test_last_months_tokens_do_not_count_for_this_month(world: World) -> None:
    from sluice import settings
    from sluice.adapters.aws import dynamo

    account = world.account()
    dynamo.client().update_item(
        TableName=settings.common().table_prefix + "grants",
        Key={"account_id": {"S": account.account_id}},
        UpdateExpression="SET period_tokens = :t, #p = :p",
        ExpressionAttributeNames={"#p": "period"},
        ExpressionAttributeValues={":t": {"N": "1000"}, ":p": {"N": "202001"}},
    )
    assert world.client.get("/account", headers=world.login(account)).json["usage"]["tokens"] == 0
