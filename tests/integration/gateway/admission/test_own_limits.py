"""Money, and the limits of an API token: each clause refuses alone, and what is charged and given back is exact.

The store's answer is compared with `FakeHotStore`'s, which follows the rules in Python.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from sluice.adapters.aws import dynamo
from sluice.adapters.gateway import grant_expressions, own_limits
from sluice.adapters.gateway.grant_item import family_key, grant_from
from sluice.adapters.gateway.hot_store import ConditionFailed
from sluice.domain.errors import StoreUnavailable
from sluice.domain.gateway.admission import Grant, forms_for, lease_for
from sluice.domain.gateway.buckets import WINDOW_NS, charge_ns
from sluice.domain.usage.pricing import Prices
from sluice.services.gateway.settle import Outcome, settle, withdraw
from tests.fakes.hot_store import FakeHotStore
from tests.integration.gateway.admission.world import MONTH, NOW_MS, NOW_NS, PREFIX, TOKEN, Account

FAMILY = "tok_family0000000000"
LIMITS = {"r": 30, "t": 2000, "m": 5000, "u": 900}
IDLE = {"a": NOW_NS, "b": NOW_NS, "p": MONTH, "q": 70, "v": 7}
BUSY = IDLE | {"a": NOW_NS + 1, "b": NOW_NS + 1}
NEW = IDLE | {"p": MONTH - 1}
MONEY = {"ml": 1000, "pu": 10, "pp": MONTH}
TOKENS, MICRO_USD = 100, 50
PRICES = Prices(500_000, 500_000)  # so 100 tokens cost 50 micro-dollars
LATEST_NS = NOW_NS + WINDOW_NS


def _write(account: Account, use: Mapping[str, Any] | None, money: Mapping[str, Any]) -> Grant:
    """Replace the grant. `use`: the entry of the family in `tl`, None for a plain API token."""
    for name in ("tl", "ml", "pu", "pp"):
        account.item.pop(name, None)
    account.write(**money, **({} if use is None else {"tl": {family_key(FAMILY): {"l": LIMITS, **use}}}))
    return account.grant()


def _admit(account: Account, guess: Grant, taken_for_granted: str = "") -> Grant | None:
    """The grant after an admission by this guess, None where it is refused."""
    request = replace(account.ask(TOKENS), family=FAMILY, reserve_micro_usd=MICRO_USD, prices=PRICES)
    lease = lease_for(request, guess, NOW_NS)
    write = grant_expressions.admission(request, guess, forms_for(guess, request, NOW_NS), lease, NOW_NS)
    if taken_for_granted:
        assert taken_for_granted in write["ConditionExpression"]
        always = f"({taken_for_granted} OR attribute_exists(account_id))"
        write["ConditionExpression"] = write["ConditionExpression"].replace(taken_for_granted, always)
    try:
        answer = account.store.call("UpdateItem", {"TableName": PREFIX + "grants", **write})
    except ConditionFailed:
        return None
    return grant_from(answer["Attributes"])


# what, clause, the API token's counters (None: without limits) and money as guessed, and what breaks just this clause
CASES: list[tuple[str, str, dict[str, Any] | None, dict[str, Any], dict[str, Any]]] = [
    ("limits were set", own_limits.TOKEN_IS_PLAIN, None, MONEY, {"tl": IDLE}),
    ("limits were changed", own_limits.TOKEN_LIMITS_ARE_KNOWN, IDLE, MONEY, {"tl": {"l": LIMITS | {"r": 31}}}),
    ("a limit was added", own_limits.TOKEN_LIMITS_ARE_KNOWN, IDLE | {"l": {"r": 30}}, MONEY, {"tl": {"l": LIMITS}}),
    ("requests are busy", own_limits.TOKEN_REQUESTS[False], IDLE, MONEY, {"tl": {"a": NOW_NS + 1}}),
    ("requests are idle", own_limits.TOKEN_REQUESTS[True], BUSY, MONEY, {"tl": {"a": NOW_NS}}),
    ("no request left", own_limits.TOKEN_REQUESTS[True], BUSY, MONEY, {"tl": {"a": LATEST_NS - charge_ns(1, 30) + 1}}),
    ("tokens are busy", own_limits.TOKEN_TOKENS[False], IDLE, MONEY, {"tl": {"b": NOW_NS + 1}}),
    ("tokens are idle", own_limits.TOKEN_TOKENS[True], BUSY, MONEY, {"tl": {"b": NOW_NS}}),
    ("no tokens left", own_limits.TOKEN_TOKENS[True], BUSY, MONEY, {"tl": {"b": LATEST_NS - charge_ns(100, 2000) + 1}}),
    ("an older month", own_limits.TOKEN_PERIOD[False], IDLE, MONEY, {"tl": {"p": MONTH - 1}}),
    ("the month has begun", own_limits.TOKEN_PERIOD[True], NEW, MONEY, {"tl": {"p": MONTH}}),
    ("a token past the quota", own_limits.TOKEN_QUOTA_HAS_ROOM, IDLE, MONEY, {"tl": {"q": 4901}}),
    ("a micro-dollar past its own", own_limits.TOKEN_BUDGET_HAS_ROOM, IDLE, MONEY, {"tl": {"v": 851}}),
    ("a budget was set", own_limits.NO_BUDGET, None, {"pu": 10, "pp": MONTH}, {"ml": 1000}),
    ("another budget", own_limits.BUDGET_IS_KNOWN, None, MONEY, {"ml": 999}),
    ("no money this month", own_limits.MONEY_SAME, None, MONEY, {"pp": MONTH - 1}),
    ("money this month", own_limits.MONEY_NEW, None, {"ml": 1000}, {"pp": MONTH, "pu": 0}),
    ("money was charged", own_limits.MONEY_NEW, None, {"ml": 1000, "pu": 1, "pp": MONTH - 1}, {"pp": MONTH}),
    ("a micro-dollar past the budget", own_limits.BUDGET_HAS_ROOM, None, MONEY, {"pu": 951}),
]


@pytest.mark.parametrize(("what", "clause", "use", "money", "broken"), CASES, ids=[case[0] for case in CASES])
def test_each_clause_refuses_alone(
    account: Account,
    what: str,
    clause: str,
    use: dict[str, Any] | None,
    money: dict[str, Any],
    broken: dict[str, Any],
) -> None:
    guess = _write(account, use, money)
    broken = dict(broken)
    changed = broken.pop("tl", None)
    _write(account, use if changed is None else {**(use or IDLE), **changed}, money | broken)
    before = account.raw()

    assert _admit(account, guess) is None, what
    assert account.raw() == before
    assert _admit(account, guess, clause) is not None, f"{what}: something else refuses too"


STATES = {"idle": IDLE, "busy": BUSY, "new month": NEW, "no limits": None}
LEDGERS = {"no budget": {}, "a budget": MONEY, "the month's first": {"ml": 1000, "pu": 999, "pp": MONTH - 1}}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("ledger", LEDGERS)
@pytest.mark.parametrize("used", [0, 40, 100])
def test_admission_and_settlement_charge_what_the_rules_say(
    account: Account, state: str, ledger: str, used: int
) -> None:
    guess = _write(account, STATES[state], LEDGERS[ledger])
    fake = FakeHotStore()
    fake.grants[account.id] = guess
    request = replace(account.ask(TOKENS), family=FAMILY, reserve_micro_usd=MICRO_USD, prices=PRICES)
    lease, forms = lease_for(request, guess, NOW_NS), forms_for(guess, request, NOW_NS)
    for store in (account.store, fake):
        assert store.admit(request, guess, forms, lease, NOW_NS).made  # type: ignore[attr-defined]
    assert account.grant() == fake.grants[account.id]
    assert account.grant().leases[request.request_id] == lease

    for store in (account.store, fake):
        record, attempt = settle(store, account.id, request.request_id, lease, Outcome(200, used, 0))  # type: ignore[arg-type]
        assert (attempt.made, record.cost_micro_usd) == (True, used // 2)
    after = account.grant()
    assert after == fake.grants[account.id]
    spent = (10 if ledger == "a budget" else 0) + used // 2
    assert (after.period_micro_usd, after.money_period) == (spent, MONTH)
    if STATES[state] is not None:
        use, begun = after.token_limits[FAMILY], state != "new month"
        assert (use.tokens, use.micro_usd) == ((70 if begun else 0) + used, (7 if begun else 0) + used // 2)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("ledger", LEDGERS)
def test_an_admission_that_is_taken_back_charges_nothing_and_leaves_no_record(
    account: Account, state: str, ledger: str
) -> None:
    """Not even a request a minute."""
    guess = _write(account, STATES[state], LEDGERS[ledger])
    fake = FakeHotStore()
    fake.grants[account.id] = guess
    request = replace(account.ask(TOKENS), family=FAMILY, reserve_micro_usd=MICRO_USD, prices=PRICES)
    lease, forms = lease_for(request, guess, NOW_NS), forms_for(guess, request, NOW_NS)
    for store in (account.store, fake):
        admitted = store.admit(request, guess, forms, lease, NOW_NS).grant  # type: ignore[attr-defined]
        assert withdraw(store, request, lease, admitted, NOW_MS).made  # type: ignore[arg-type]
        assert not withdraw(store, request, lease, admitted, NOW_MS).made  # type: ignore[arg-type]
    after = account.grant()
    assert after == fake.grants[account.id]
    assert (after.leases, account.records(), fake.ledger) == ({}, [], {})
    assert after.tat_requests_ns == max(guess.tat_requests_ns, NOW_NS)
    assert after.tat_tokens_ns == max(guess.tat_tokens_ns, NOW_NS)
    assert (after.period_tokens, after.period_micro_usd) == (0, 10 if ledger == "a budget" else 0)
    if STATES[state] is not None:
        use, before = after.token_limits[FAMILY], guess.token_limits[FAMILY]
        assert use.tat_requests_ns == before.tat_requests_ns
        assert (use.tokens, use.micro_usd) == ((0, 0) if state == "new month" else (before.tokens, before.micro_usd))


def test_an_admission_whose_lease_has_expired_is_not_taken_back_because_others_settle_it(account: Account) -> None:
    guess, fake = account.grant(), FakeHotStore()
    fake.grants[account.id] = guess
    request = account.ask(TOKENS)
    lease = lease_for(request, guess, NOW_NS)
    for store in (account.store, fake):
        admitted = store.admit(request, guess, forms_for(guess, request, NOW_NS), lease, NOW_NS).grant  # type: ignore[attr-defined]
        attempt = withdraw(store, request, lease, admitted, lease.expires_ms)  # type: ignore[arg-type]
        assert not attempt.made and attempt.grant is not None and request.request_id in attempt.grant.leases
    assert account.grant() == fake.grants[account.id]


def test_a_withdrawal_is_not_sent_again_where_the_store_is_silent(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late copy would end the lease that the same request has by then."""
    request, guess = account.ask(TOKENS), account.grant()
    lease = lease_for(request, guess, NOW_NS)
    admitted = account.store.admit(request, guess, forms_for(guess, request, NOW_NS), lease, NOW_NS).grant
    assert admitted is not None
    sent: list[str] = []

    def silent(operation: str, body: bytes, *, once: bool) -> tuple[int, dict[str, Any]]:
        sent.append(operation)
        raise TimeoutError

    monkeypatch.setattr(account.store._client, "_send", silent)
    with pytest.raises(StoreUnavailable):
        withdraw(account.store, request, lease, admitted, NOW_MS)
    assert sent == ["UpdateItem"]


@pytest.mark.parametrize("change", ["removed", "later month", "removed and set again"])
def test_a_settlement_gives_back_only_what_still_counts(account: Account, change: str) -> None:
    guess = _write(account, IDLE, MONEY)
    request = replace(account.ask(TOKENS), family=FAMILY, reserve_micro_usd=MICRO_USD, prices=PRICES)
    lease = lease_for(request, guess, NOW_NS)
    assert account.store.admit(request, guess, forms_for(guess, request, NOW_NS), lease, NOW_NS).made
    account.item = deepcopy(account.raw())
    if change == "removed":
        del account.item["tl"]
        account.write()
    elif change == "later month":
        account.write(
            period=MONTH + 1,
            period_tokens=3,
            pp=MONTH + 1,
            pu=4,
            tl={family_key(FAMILY): {"l": LIMITS, **IDLE} | {"p": MONTH + 1}},
        )
    else:
        account.write(tl={family_key(FAMILY): {"l": LIMITS, "a": 0, "b": 0, "p": 0, "q": 0, "v": 0}})

    _, attempt = settle(account.store, account.id, request.request_id, lease, Outcome(200, 40, 0))

    assert attempt.made
    after = account.grant()
    use = after.token_limits.get(FAMILY)
    assert after.leases == {}
    assert (after.period_tokens, after.period_micro_usd) == ((3, 4) if change == "later month" else (40, 30))
    if use is not None:
        assert (use.tokens, use.micro_usd) == ((70, 7) if change == "later month" else (0, 0))


def test_a_cost_is_never_more_than_was_reserved(account: Account) -> None:
    guess = _write(account, None, MONEY)
    request = replace(account.ask(TOKENS), reserve_micro_usd=MICRO_USD, prices=PRICES)
    lease = lease_for(request, guess, NOW_NS)
    assert account.store.admit(request, guess, forms_for(guess, request, NOW_NS), lease, NOW_NS).made
    record, _ = settle(account.store, account.id, request.request_id, lease, Outcome(200, 900, 900))
    assert record.cost_micro_usd == MICRO_USD
    assert account.grant().period_micro_usd == 10 + MICRO_USD


def test_a_record_without_a_price_is_read_as_it_was_written(account: Account) -> None:
    lease = account.lease(token_id=TOKEN)
    request = account.ask()
    account.write_leases({request.request_id: lease})
    record, _ = settle(account.store, account.id, request.request_id, lease, Outcome(200, 1, 1))
    assert record.cost_micro_usd is None
    assert account.records() == [record]
    assert settle(account.store, account.id, request.request_id, lease, Outcome(200, 5, 5))[0] == record
    stored = account.engine.client.get_item(
        TableName=PREFIX + "ledger", Key=dynamo.item({"account_id": account.id, "request_id": request.request_id})
    )
    assert stored["Item"]["cost_micro_usd"] == {"N": "0"}  # which an older version reads
