"""The grant stays under 1 KB, so that an admission costs one write unit, by DynamoDB's rules and by its bill.

Source: Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats".
"""

from dataclasses import replace
from typing import Any

import pytest

from sluice.adapters.aws import dynamo
from sluice.adapters.gateway.grant_item import family_key, lease_attribute, number, token_use_attribute
from sluice.domain.gateway.admission import Forms, TokenLimits, TokenUse
from sluice.domain.gateway.buckets import WINDOW_NS
from sluice.domain.gateway.grants import PLAYGROUND
from sluice.domain.gateway.leases import Lease, lease_shard
from sluice.domain.ids import random_id
from sluice.domain.usage.pricing import Prices
from tests.integration.gateway.admission.world import MONTH, NOW_MS, NOW_NS, NOW_S, PREFIX, Account

WRITE_UNIT_BYTES = 1024
MODEL = "m" * 24


def attribute_bytes(attribute: dict[str, Any]) -> int:
    """A number takes one byte and one for every two digits, counted from the right, without zeros at its end."""
    ((kind, value),) = attribute.items()
    match kind:
        case "S":
            return len(str(value).encode())
        case "N":
            return 1 + _pairs(value.lstrip("-")) + int(value.startswith("-"))
        case "BOOL" | "NULL":
            return 1
        case "M":
            return 3 + sum(1 + len(key.encode()) + attribute_bytes(inner) for key, inner in value.items())
    raise AssertionError(f"a {kind} is not expected in a grant")


def _pairs(digits: str) -> int:
    while digits.endswith("00"):
        digits = digits[:-2]
    return 0 if digits == "0" else (len(digits) + 1) // 2


def item_bytes(item: dict[str, Any]) -> int:
    return sum(len(name.encode()) + attribute_bytes(value) for name, value in item.items())


def _fill(account: Account) -> None:
    """10 live API tokens and the playground, 3 leases, the limits of a new account, every other number a long one."""
    live = {random_id("tok_"): NOW_S + 31_536_001 for _ in range(9)}
    playground = account.item["live"]["M"]["playground"]
    account.write(live=dict(live, **{account.token_id: NOW_S + 31_536_001}))
    account.item["live"]["M"]["playground"] = playground
    lease = Lease(NOW_MS + 29_999, 131_071, WINDOW_NS - 1, MONTH, random_id("tok_"), MODEL, "chat.completions", True)
    account.write_leases({account.ask().request_id: lease.with_progress(99_999, 31_071) for _ in range(3)})
    account.write(
        tat_requests_ns=NOW_NS + WINDOW_NS // 2 + 1,
        tat_tokens_ns=NOW_NS + 1,
        period_tokens=987_654,
        blocked_until=NOW_MS - 1,
        block_seconds=900,
        store_content=False,
    )


@pytest.fixture
def full(account: Account) -> Account:
    _fill(account)
    request = replace(account.ask(12_111), model=MODEL)
    lease = account.lease(reserved_tokens=12_111, charged_tokens_ns=WINDOW_NS // 2 - 1, model=MODEL)
    attempt = account.store.admit(request, account.grant(), Forms(True, True, False, False), lease, NOW_NS)
    assert attempt.made
    return account


def test_a_grant_with_ten_live_tokens_and_four_leases_is_under_a_kilobyte(
    full: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    item = full.raw()
    assert len(item["live"]["M"]) == 11  # with the playground's entry
    assert len(item["leases"]["M"]) == 4
    assert item["busy_shard"]["S"] == lease_shard(full.id)
    weight = item_bytes(item)
    with capsys.disabled():
        print(f"\n  grant item with 10 live API tokens and 4 leases: {weight} of {WRITE_UNIT_BYTES} bytes")
    assert weight <= WRITE_UNIT_BYTES


def _dear(account: Account) -> Account:
    """Prices of every kind, a budget, and what was used of it."""
    prices = Prices(123_456, 654_321, 12_345, 12_345, 1_234, max_seconds=3_600)
    for lease in account.item["leases"]["M"].values():
        lease["M"] |= {"$": lease_attribute(account.lease(prices=prices))["M"]["$"], "u": number(1_234_567)}
    account.write(ml=123_456_789, pu=98_765_432, pp=MONTH)
    return account


def test_with_money_it_is_under_1_2_kilobytes(full: Account, capsys: pytest.CaptureFixture[str]) -> None:
    full.item = full.raw()
    weight = item_bytes(_dear(full).raw())
    with capsys.disabled():
        print(f"\n  with every kind of price in each lease, and a budget: {weight} bytes")
    assert weight <= 1.2 * WRITE_UNIT_BYTES


def test_with_all_limits_of_25_api_tokens_it_is_under_4_kilobytes(
    full: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    full.item = full.raw()
    live = full.item["live"]["M"]
    while len(live) < 26:
        live[random_id("tok_")] = live[full.token_id]
    use = TokenUse(
        TokenLimits(1234, 123_456, 12_345_678, 12_345_678), NOW_NS + 1, NOW_NS + 1, MONTH, 1_234_567, 1_234_567
    )
    full.item["tl"] = {"M": {family_key(token): token_use_attribute(use) for token in live if token != PLAYGROUND}}
    for lease in full.item["leases"]["M"].values():
        lease["M"] |= {"f": {"S": ""}, "b": number(WINDOW_NS - 1)}
    weight = item_bytes(_dear(full).raw())
    with capsys.disabled():
        print(f"\n  with all limits of 25 API tokens as well: {weight} bytes")
    assert weight <= 4 * WRITE_UNIT_BYTES


def test_the_referee_bills_one_write_unit_for_it(full: Account) -> None:
    """Dynoxide counts the same way, but DynamoDB Local's bill is Amazon's own."""
    answer = full.engine.client.update_item(
        TableName=PREFIX + "grants",
        Key={"account_id": {"S": full.id}},
        UpdateExpression="SET block_seconds = :s",
        ExpressionAttributeValues=dynamo.item({":s": 901}),
        ReturnConsumedCapacity="INDEXES",
    )
    assert answer["ConsumedCapacity"]["Table"]["CapacityUnits"] == 1.0


def test_the_size_rules_agree_with_the_bill(account: Account) -> None:
    """Padded to exactly 1024 bytes by these rules an item is billed one unit, and one byte more two."""
    pad = WRITE_UNIT_BYTES - item_bytes(account.item) - len("pad")
    bills = []
    for extra in (0, 1):  # each a new item, because a replaced one is billed by the larger of the two
        other = {**account.item, "account_id": {"S": random_id("usr_")}}
        answer = account.engine.client.put_item(
            TableName=PREFIX + "grants",
            Item={**other, "pad": {"S": "x" * (pad + extra)}},
            ReturnConsumedCapacity="INDEXES",
        )
        bills.append(answer["ConsumedCapacity"]["Table"]["CapacityUnits"])
    assert bills == [1.0, 2.0]
