"""Version 0.2.0 beside this one, over the same grant: each reads what the other wrote, and no tokens are lost.

What 0.2.0 expects of a grant is written down as data, from its `grant_item.py` and `grant_expressions.py`.
"""

from dataclasses import replace
from typing import Any

from sluice.adapters.gateway import grant_expressions, own_limits
from sluice.adapters.gateway.hot_store import record_item
from sluice.domain.gateway.admission import TokenLimits, forms_for, lease_for
from sluice.domain.usage.pricing import Prices
from sluice.services.gateway.settle import Outcome, settle
from tests.integration.gateway.admission.world import MONTH, NOW_NS, PREFIX, Account

# what 0.2.0 reads without asking whether it is there, and of which type
GRANT = {"account_id": "S", "live": "M", "standing": "S", "limits": "M", "leases": "M"}
NUMBERS = ("tat_requests_ns", "tat_tokens_ns", "period", "period_tokens", "blocked_until", "block_seconds")
LEASE = {"e": "N", "r": "N", "t": "N", "d": "N", "k": "S", "m": "S", "x": "S", "p": "N", "c": "N"}
LIMITS = {"rpm", "tpm", "concurrency", "monthly_tokens"}  # which it compares by value, so there may be no fifth
RECORD = ("cost_micro_usd", "created_ms", "period", "status", "prompt_tokens", "completion_tokens", "cached_tokens")


def _kinds(item: dict[str, Any], names: Any) -> dict[str, str]:
    return {name: next(iter(item[name])) for name in names}


def _limited(account: Account) -> None:
    account.write(ml=1000, pu=10, pp=MONTH)
    account.write_token_limits(TokenLimits(30, 2000, 5000, 900))


def _admit(account: Account, *, old: bool) -> str:
    """By this version, or as 0.2.0 does: without a price, and without a look at limits of API tokens."""
    request = account.ask(100)
    guess = account.grant()
    if old:
        guess = replace(guess, token_limits={})
    else:
        request = replace(request, reserve_micro_usd=50, prices=Prices(500_000, 500_000))
    lease = lease_for(request, guess, NOW_NS)
    write = grant_expressions.admission(request, guess, forms_for(guess, request, NOW_NS), lease, NOW_NS)
    if old:
        write["ConditionExpression"] = write["ConditionExpression"].replace(" AND " + own_limits.TOKEN_IS_PLAIN, "")
        del write["ExpressionAttributeNames"]["#family"]
    account.store.call("UpdateItem", {"TableName": PREFIX + "grants", **write})
    return request.request_id


def test_the_old_version_reads_a_grant_with_everything_new(account: Account) -> None:
    _limited(account)
    _admit(account, old=False)
    item = account.raw()
    assert _kinds(item, GRANT) == GRANT
    assert set(_kinds(item, NUMBERS).values()) == {"N"}
    assert {next(iter(expiry)) for expiry in item["live"]["M"].values()} == {"N"}
    assert set(item["limits"]["M"]) == LIMITS
    for lease in item["leases"]["M"].values():
        assert _kinds(lease["M"], LEASE) == LEASE


def test_both_versions_admit_and_settle_in_turns_and_every_token_is_counted(account: Account) -> None:
    _limited(account)
    admitted = {_admit(account, old=old): old for old in (False, True, False, True)}
    grant = account.grant()
    assert set(grant.leases) == set(admitted)
    for request_id, old in admitted.items():
        lease = grant.leases[request_id]
        assert (lease.prices is None, lease.family) == ((True, "") if old else (False, account.token_id))
        record, attempt = settle(account.store, account.id, request_id, lease, Outcome(200, 30, 10))
        assert attempt.made
        assert set(RECORD) <= set(record_item(record))
    after = account.grant()
    use = after.token_limits[account.token_id]
    assert (after.leases, after.period_tokens) == ({}, 160)
    assert (after.period_micro_usd, use.tokens, use.micro_usd) == (10 + 2 * 20, 80, 40)


def test_a_month_that_the_old_version_began_has_all_its_dollars(account: Account) -> None:
    account.write(period=MONTH - 1, ml=1000, pu=1000, pp=MONTH - 1)
    _admit(account, old=True)
    assert (account.grant().period, account.grant().period_micro_usd) == (MONTH, 0)
    _admit(account, old=False)
    assert account.grant().period_micro_usd == 50
