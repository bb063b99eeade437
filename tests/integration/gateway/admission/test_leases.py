"""Leases on the real store: found again after a lost answer, renewed while allowed, settled exactly once."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sluice.domain import errors
from sluice.domain.gateway.leases import LEASE_MS, Lease
from sluice.domain.ids import request_time_ms
from sluice.domain.usage.ledger import LedgerRecord
from sluice.services.gateway.admit import Admission, Admitted
from sluice.services.gateway.settle import Outcome, settle, settle_abandoned
from tests.integration.gateway.admission.world import (
    DEFAULTS,
    MONTH,
    NOW_MS,
    NOW_NS,
    NOW_S,
    PREFIX,
    TOKEN,
    Account,
    Engine,
)

DEAD_MS = NOW_MS + LEASE_MS + 10_000


def _admit(account: Account, tokens: int = 100) -> Admitted:
    return Admission(account.store, account.limits).admit(account.ask(tokens), NOW_NS)


def test_a_repeated_admission_finds_its_own_lease_and_is_charged_once(account: Account) -> None:
    request = account.ask(100)
    first = Admission(account.store, DEFAULTS).admit(request, NOW_NS)
    again = Admission(account.store, DEFAULTS).admit(request, NOW_NS + 1)
    assert again.lease == first.lease
    assert again.grant == account.grant() == first.grant


def test_its_own_lease_is_found_even_if_the_grant_now_refuses_others(engine: Engine) -> None:
    """The lost answer was that of the admission that took the last place."""
    account = engine.account(concurrency=1, rpm=1, monthly_tokens=100)
    request = account.ask(100)
    Admission(account.store, DEFAULTS).admit(request, NOW_NS)
    assert Admission(account.store, DEFAULTS).admit(request, NOW_NS).lease.reserved_tokens == 100
    with pytest.raises(errors.QuotaExceeded):
        Admission(account.store, DEFAULTS).admit(account.ask(100), NOW_NS)


# --- checkpoints


def test_a_checkpoint_renews_the_lease_and_stores_the_counts(account: Account) -> None:
    admitted = _admit(account)
    lease = admitted.lease.with_progress(20, 7)
    attempt = account.store.checkpoint(account.id, admitted.request.request_id, lease, NOW_MS + 3000)
    expected = replace(lease, expires_ms=NOW_MS + 3000 + LEASE_MS)
    assert attempt.made
    assert account.grant() == replace(admitted.grant, leases={admitted.request.request_id: expected})


@pytest.mark.parametrize(
    "change",
    [{"live": {"M": {}}}, {"live": {TOKEN: NOW_S}}, {"standing": "suspended"}, {"leases": {"M": {}}}],
    ids=["revoked", "expired", "suspended", "settled meanwhile"],
)
def test_a_checkpoint_is_refused_if_the_request_may_not_continue(account: Account, change: dict[str, Any]) -> None:
    admitted = _admit(account)
    account.item = account.raw()
    account.write(**change)
    before = account.raw()
    attempt = account.store.checkpoint(
        account.id, admitted.request.request_id, admitted.lease.with_progress(9, 9), NOW_MS
    )
    assert (attempt.made, attempt.grant) == (False, account.grant())
    assert account.raw() == before


# --- settlement

USED = Outcome(200, 20, 30)


def test_a_settlement_releases_unused_tokens_and_leaves_one_record(account: Account) -> None:
    admitted = _admit(account, 100)
    record, attempt = settle(account.store, account.id, admitted.request.request_id, admitted.lease, USED)
    assert attempt.made
    grant = account.grant()
    assert (grant.leases, grant.period_tokens) == ({}, 50)
    assert grant.tat_tokens_ns == NOW_NS + admitted.lease.charged_tokens_ns // 2
    assert grant.tat_requests_ns == admitted.grant.tat_requests_ns  # a made request is not released
    assert account.records() == [record]
    assert (record.total_tokens, record.period, record.settled_by) == (50, MONTH, "gateway")


def test_a_settlement_may_be_repeated_in_part_or_as_a_whole(account: Account) -> None:
    admitted = _admit(account)
    first, _ = settle(account.store, account.id, admitted.request.request_id, admitted.lease, USED)
    after = account.raw()
    second, attempt = settle(account.store, account.id, admitted.request.request_id, admitted.lease, Outcome(500, 1, 1))
    assert (second, attempt.made) == (first, False)
    assert account.raw() == after


def test_a_settlement_interrupted_between_its_writes_is_finished_by_the_sweeper(account: Account) -> None:
    """The sweeper must release by the stored record, and not by the one it would have written itself."""
    admitted = _admit(account, 100)
    identifier = admitted.request.request_id
    alone = replace(_record(admitted), prompt_tokens=40, completion_tokens=35)
    account.store.put_record(alone)

    record, attempt = settle_abandoned(account.store, account.id, identifier, admitted.lease)

    assert (record, attempt.made) == (alone, True)
    assert (account.grant().leases, account.grant().period_tokens) == ({}, 75)


def test_a_gateway_that_settles_after_the_sweeper_changes_nothing(account: Account) -> None:
    admitted = _admit(account, 100)
    lease = admitted.lease.with_progress(20, 5)
    account.store.checkpoint(account.id, admitted.request.request_id, lease, NOW_MS)
    identifier = admitted.request.request_id
    swept, _ = settle_abandoned(account.store, account.id, identifier, account.grant().leases[identifier])
    after = account.raw()
    late, attempt = settle(account.store, account.id, admitted.request.request_id, lease, Outcome(200, 20, 60))
    assert (late, attempt.made) == (swept, False)
    assert account.raw() == after
    assert (swept.total_tokens, swept.status, swept.finish_reason) == (25, 500, "interrupted")
    assert swept.response_time_ms == NOW_MS - request_time_ms(identifier), "its seconds end with its last sign of life"
    assert account.grant().period_tokens == 25


def test_a_settlement_in_a_later_month_releases_nothing_to_that_months_quota(account: Account) -> None:
    admitted = _admit(account, 100)
    account.item = account.raw()
    account.write(period=MONTH + 1, period_tokens=333)
    record, attempt = settle(account.store, account.id, admitted.request.request_id, admitted.lease, USED)
    grant = account.grant()
    assert attempt.made
    assert (grant.period, grant.period_tokens, grant.leases) == (MONTH + 1, 333, {})
    assert grant.tat_tokens_ns == NOW_NS + admitted.lease.charged_tokens_ns // 2
    assert record.period == MONTH


def test_more_used_than_reserved_is_charged_in_full(account: Account) -> None:
    """The quota is exact even if the upstream ignores max_tokens."""
    admitted = _admit(account, 100)
    settle(account.store, account.id, admitted.request.request_id, admitted.lease, Outcome(200, 90, 60))
    assert account.grant().period_tokens == 150
    assert account.grant().tat_tokens_ns == NOW_NS + admitted.lease.charged_tokens_ns * 3 // 2


def test_other_leases_stay_when_one_is_settled(account: Account) -> None:
    first, second = _admit(account), _admit(account)
    settle(account.store, account.id, first.request.request_id, first.lease, USED)
    assert account.grant().leases == {second.request.request_id: second.lease}


def test_concurrent_settlements_of_gateway_and_sweeper_count_once(engine: Engine) -> None:
    for _ in range(25):
        account = engine.account()
        admitted = _admit(account, 100)
        identifier, lease = admitted.request.request_id, admitted.lease.with_progress(20, 5)
        heard: list[LedgerRecord] = []
        start = threading.Barrier(3)

        def gateway(account: Account = account, identifier: str = identifier, lease: Lease = lease) -> LedgerRecord:
            return settle(account.store, account.id, identifier, lease, Outcome(200, 20, 60))[0]

        def sweeper(account: Account = account, identifier: str = identifier, lease: Lease = lease) -> LedgerRecord:
            return settle_abandoned(account.store, account.id, identifier, lease)[0]

        def run(
            work: Callable[[], LedgerRecord], start: threading.Barrier = start, heard: list[LedgerRecord] = heard
        ) -> None:
            start.wait()
            heard.append(work())

        threads = [threading.Thread(target=run, args=(work,)) for work in (gateway, sweeper, gateway)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        (record,) = account.records()
        assert heard == [record] * 3
        assert (account.grant().leases, account.grant().period_tokens) == ({}, record.total_tokens)


# --- the ledger's item


def _record(admitted: Admitted) -> LedgerRecord:
    return LedgerRecord(
        account_id=admitted.request.account_id,
        request_id=admitted.request.request_id,
        token_id=TOKEN,
        model="demo",
        endpoint="chat.completions",
        stream=True,
        status=200,
        prompt_tokens=0,
        completion_tokens=0,
        cached_tokens=0,
        cost_micro_usd=0,
        created_ms=NOW_MS,
        response_time_ms=None,
        ttft_ms=None,
        finish_reason=None,
        period=MONTH,
    )


@pytest.mark.parametrize("full", [False, True], ids=["all optional fields absent", "all there"])
def test_a_record_is_read_as_it_was_written(account: Account, full: bool) -> None:
    record = _record(_admit(account))
    if full:
        times = {"response_time_ms": 1200, "ttft_ms": 0, "finish_reason": "length", "rolled_up_ms": NOW_MS}
        record = replace(record, stream=False, cached_tokens=7, cost_micro_usd=10**12, settled_by="sweeper", **times)  # type: ignore[arg-type]
    assert account.store.put_record(record) == record
    assert account.records() == [record]
    assert account.store.put_record(replace(record, status=500)) == record  # the first one counts
    assert account.records() == [record]


def test_an_unknown_attribute_of_a_later_release_is_ignored(account: Account) -> None:
    admitted = _admit(account)
    account.store.put_record(_record(admitted))
    key = {"account_id": {"S": account.id}, "request_id": {"S": admitted.request.request_id}}
    account.engine.client.update_item(
        TableName=PREFIX + "ledger",
        Key=key,
        UpdateExpression="SET from_later = :r",
        ExpressionAttributeValues={":r": {"S": "eu"}},
    )
    assert account.records() == [_record(admitted)]


# --- blocks


def test_a_block_refuses_every_request_until_it_ends(account: Account) -> None:
    attempt = account.store.block(account.grant(), 60, NOW_MS)
    assert attempt.made
    assert (account.grant().blocked_until_ms, account.grant().block_seconds) == (NOW_MS + 60_000, 60)
    with pytest.raises(errors.RateLimitExceeded) as refused:
        _admit(account)
    assert refused.value.retry_after_seconds == 60
    admission = Admission(account.store, DEFAULTS)
    admission.admit(account.ask(), NOW_NS + 60_000_000_000)


def test_of_two_concurrent_blocks_the_first_one_counts(account: Account) -> None:
    seen = account.grant()
    account.store.block(seen, 60, NOW_MS)
    attempt = account.store.block(seen, 900, NOW_MS + 5)
    assert not attempt.made
    assert attempt.grant is not None
    assert (attempt.grant.blocked_until_ms, attempt.grant.block_seconds) == (NOW_MS + 60_000, 60)
    assert account.grant() == attempt.grant


# --- texts


def test_a_text_ends_with_its_second_whether_it_is_deleted_or_not(account: Account) -> None:
    account.store.put_texts(account.id, "req_a", {"prompt": "a"}, NOW_MS, NOW_S + 60)
    assert account.store.get_texts(account.id, "req_a", NOW_MS + 59_999) == {"prompt": "a"}
    assert account.store.get_texts(account.id, "req_a", NOW_MS + 60_000) is None
