"""A settlement by one call, as on one machine: all of it or nothing, and exactly once beside settlements by two."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sluice.adapters.aws import dynamo
from sluice.adapters.gateway.grant_item import family_key
from sluice.domain.gateway.admission import without_lease
from sluice.domain.gateway.contents import Kept, LoggedContent
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.pricing import Prices
from sluice.services.gateway.admit import Admission, Admitted
from sluice.services.gateway.settle import Outcome, settle, settle_abandoned, settle_at_once
from tests.integration.gateway.admission.world import MONTH, NOW_MS, NOW_NS, NOW_S, PREFIX, TOKEN, Account, Engine

USED = Outcome(200, 20, 30)
KEPT = Kept(LoggedContent("What?", "That."), NOW_MS, NOW_S + 60)
FAMILY = {"l": {"t": 2000, "u": 900}, "a": 0, "b": 0, "p": MONTH, "q": 70, "v": 7}


@pytest.fixture
def admitted(account: Account, monkeypatch: pytest.MonkeyPatch) -> Admitted:
    monkeypatch.setattr(account.store, "settles_at_once", True)
    return _admit(account)


def _admit(account: Account, **fields: Any) -> Admitted:
    return Admission(account.store, account.limits).admit(replace(account.ask(100), **fields), NOW_NS)


def _at_once(account: Account, admitted: Admitted, outcome: Outcome = USED) -> LedgerRecord | None:
    return settle_at_once(account.store, account.id, admitted.request.request_id, admitted.lease, outcome, KEPT)


def _content(account: Account, admitted: Admitted) -> dict[str, str] | None:
    return account.store.get_texts(account.id, admitted.request.request_id, NOW_MS)


def test_it_leaves_the_record_the_content_and_the_grant_that_two_writes_would_leave(
    account: Account, admitted: Admitted
) -> None:
    second = _admit(account)
    record = _at_once(account, admitted)
    at_once = account.grant()
    by_two, _ = settle(account.store, account.id, second.request.request_id, second.lease, USED)
    after = account.grant()

    assert record is not None and account.records() == [record, by_two]
    assert replace(record, request_id="", created_ms=0) == replace(by_two, request_id="", created_ms=0)
    assert _content(account, admitted) == {"prompt": "What?", "response": "That."}
    assert list(at_once.leases) == [second.request.request_id]
    assert second.grant.period_tokens - at_once.period_tokens == at_once.period_tokens - after.period_tokens == 50
    unused_ns = second.grant.tat_tokens_ns - at_once.tat_tokens_ns
    assert unused_ns == at_once.tat_tokens_ns - after.tat_tokens_ns == admitted.lease.charged_tokens_ns // 2


@pytest.mark.parametrize("priced", [False, True])
def test_the_next_admission_guesses_what_it_left(
    account: Account, monkeypatch: pytest.MonkeyPatch, priced: bool
) -> None:
    monkeypatch.setattr(account.store, "settles_at_once", True)
    if priced:
        account.write(ml=1000, pu=10, pp=MONTH, period=MONTH, tl={family_key(TOKEN): FAMILY})
    cost = {"reserve_micro_usd": 50, "prices": Prices(500_000, 500_000)} if priced else {}
    admission = Admission(account.store, account.limits)
    admitted = admission.admit(replace(account.ask(100), **cost), NOW_NS)
    record = _at_once(account, admitted)
    assert record is not None
    assert account.grant() == without_lease(admitted.grant, admitted.lease, record)
    admission.released(record, admitted.lease)
    assert admission.seen(account.id) == account.grant()


def test_a_record_that_is_there_already_stays_and_nothing_else_is_written(account: Account, admitted: Admitted) -> None:
    identifier, lease = admitted.request.request_id, admitted.lease.with_progress(20, 5)
    swept, _ = settle_abandoned(account.store, account.id, identifier, lease)
    after = account.raw()
    assert _at_once(account, admitted) is None
    assert (account.raw(), account.records(), _content(account, admitted)) == (after, [swept], None)


def test_a_gateway_that_died_between_two_writes_is_finished_by_two(account: Account, admitted: Admitted) -> None:
    first = replace(_at_once(account, _admit(account)) or pytest.fail(), request_id=admitted.request.request_id)
    account.store.put_record(first)
    assert _at_once(account, admitted) is None
    assert list(account.grant().leases) == [admitted.request.request_id]
    record, attempt = settle(account.store, account.id, admitted.request.request_id, admitted.lease, Outcome(500, 1, 1))
    assert (record, attempt.made, account.grant().leases) == (first, True, {})


@pytest.mark.parametrize(
    "change",
    [{"leases": {"M": {}}}, {"period": MONTH + 1, "period_tokens": 333}],
    ids=["its lease is gone", "a later month"],
)
def test_without_its_lease_or_counters_nothing_is_written(
    account: Account, admitted: Admitted, change: dict[str, Any]
) -> None:
    account.item = account.raw()
    account.write(**change)
    before = account.raw()
    assert _at_once(account, admitted) is None
    assert (account.raw(), account.records(), _content(account, admitted)) == (before, [], None)


def test_another_attempt_of_a_run_cannot_settle_it(account: Account, admitted: Admitted) -> None:
    run = _admit(account, epoch=2, request_id=admitted.request.request_id[:-4] + "0000")
    late = replace(run, lease=replace(run.lease, epoch=1))
    assert _at_once(account, late) is None
    assert _at_once(account, run) is not None


def test_a_repetition_after_a_lost_answer_changes_nothing(account: Account, admitted: Admitted) -> None:
    record, after = _at_once(account, admitted), account.raw()
    assert _at_once(account, admitted, Outcome(500, 1, 1)) is None
    again, attempt = settle(account.store, account.id, admitted.request.request_id, admitted.lease, USED)
    assert (again, attempt.made, account.raw()) == (record, False, after)


def test_where_the_store_does_not_do_it_at_once_nothing_is_asked(account: Account) -> None:
    admitted = _admit(account)
    before = account.raw()
    assert _at_once(account, admitted) is None
    assert (account.raw(), account.records()) == (before, [])


def test_settlements_of_both_kinds_at_the_same_time_count_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.store, "settles_at_once", True)
    for _ in range(15):
        account = engine.account()
        admitted, other = _admit(account), _admit(account)
        start, done = threading.Barrier(4), list[str]()

        def gateway(outcome: Outcome, account: Account = account, admitted: Admitted = admitted) -> None:
            if _at_once(account, admitted, outcome) is None:
                settle(account.store, account.id, admitted.request.request_id, admitted.lease, outcome)

        def sweeper(account: Account = account, admitted: Admitted = admitted) -> None:
            settle_abandoned(account.store, account.id, admitted.request.request_id, admitted.lease)

        def run(work: Callable[[], None], start: threading.Barrier = start, done: list[str] = done) -> None:
            start.wait()
            work()
            done.append("")

        works = (lambda: gateway(USED), lambda: gateway(Outcome(200, 20, 60)), sweeper, lambda: gateway(USED))
        threads = [threading.Thread(target=run, args=[work]) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == len(works)
        (record,) = account.records()
        grant = account.grant()
        assert list(grant.leases) == [other.request.request_id]
        assert grant.period_tokens == 100 + record.total_tokens


def test_a_transaction_of_the_store_itself_holds_the_content_under_its_key(
    account: Account, admitted: Admitted
) -> None:
    _at_once(account, admitted)
    key = dynamo.item({"account_id": account.id, "item_id": admitted.request.request_id})
    stored = account.engine.client.get_item(TableName=PREFIX + "contents", Key=key)["Item"]
    assert dynamo.values(stored) == {
        **dynamo.values(key),
        "prompt": "What?",
        "response": "That.",
        "created_ms": NOW_MS,
        "ttl_s": NOW_S + 60,
        "schema": 1,
    }
