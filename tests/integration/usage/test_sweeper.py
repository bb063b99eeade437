"""Orphaned requests are settled once from their last checkpoint; running ones are not touched."""

import itertools
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from functions.sweeper.app import handler
from sluice.adapters.aws import dynamo
from sluice.domain.accounts.account import Account
from sluice.domain.errors import StoreUnavailable
from sluice.domain.gateway.admission import AdmissionRequest, Limits
from sluice.domain.gateway.leases import LEASE_MS, SWEEP_AFTER_MS
from sluice.domain.ids import request_id
from sluice.domain.mails.mail import Kind, new_mail
from sluice.services.gateway.admit import Admission, Admitted
from sluice.services.gateway.settle import Outcome, settle
from sluice.services.gateway.sweep import DOWN_AFTER, WORKERS, Sweeper
from sluice.wiring import stores
from tests.integration.usage.world import MINUTE_MS, UsageWorld, now_ms, table

LONG_DEAD_MS = LEASE_MS + SWEEP_AFTER_MS
LIVE = {"playground": 4_102_444_800, "tok_a": 4_102_444_800}


def admit(world: UsageWorld, account: Account, *, ago_ms: int = 0, tokens: int = 100) -> Admitted:
    world.set_grant(account.account_id, live=LIVE)
    at_ms = now_ms() - ago_ms
    request = AdmissionRequest(account.account_id, request_id(at_ms), "tok_a", tokens, "demo", "chat.completions", True)
    return Admission(stores.hot_store(), Limits(60, 40_000, 4, 1_000_000)).admit(request, at_ms * 1_000_000)


def grant(world: UsageWorld, account: Account) -> dict[str, Any]:
    return world.item("grants", account_id=account.account_id)


def test_an_orphaned_request_is_settled_from_its_last_checkpoint(world: UsageWorld) -> None:
    account = world.account()
    dead = admit(world, account, ago_ms=LONG_DEAD_MS + MINUTE_MS)
    lease = dead.lease.with_progress(11, 22)
    then = now_ms() - LONG_DEAD_MS
    stores.hot_store().checkpoint(account.account_id, dead.request.request_id, lease, then)

    done = handler({}, None)
    assert (done["settled"], done["cleared"], done["failed"], done["complete"]) == (1, 1, 0, True)
    assert SWEEP_AFTER_MS <= done["overdue_ms"] < SWEEP_AFTER_MS + MINUTE_MS
    record = stores.ledger_reader().get(account.account_id, dead.request.request_id)
    assert record is not None
    assert (record.prompt_tokens, record.completion_tokens, record.status) == (11, 22, 500)
    assert (record.settled_by, record.token_id, record.stream) == ("sweeper", "tok_a", True)
    after = grant(world, account)
    assert after["leases"] == {}
    assert after["period_tokens"] == 33
    assert "busy_shard" not in after


def test_a_running_or_just_expired_request_is_not_touched(world: UsageWorld) -> None:
    account = world.account()
    running = admit(world, account)
    late = admit(world, account, ago_ms=LEASE_MS + SWEEP_AFTER_MS // 2)
    done = handler({}, None)
    assert (done["settled"], done["cleared"], done["leases"]) == (0, 0, 2)
    after = grant(world, account)
    assert len(after["leases"]) == 2
    assert "busy_shard" in after
    for each in (running, late):
        assert stores.ledger_reader().get(account.account_id, each.request.request_id) is None


def test_an_account_without_running_requests_is_removed_from_its_shard(world: UsageWorld) -> None:
    account = world.account()
    done_soon = admit(world, account)
    settle(stores.hot_store(), account.account_id, done_soon.request.request_id, done_soon.lease, Outcome(200, 1, 2))
    assert "busy_shard" in grant(world, account)
    assert handler({}, None)["cleared"] == 1
    assert "busy_shard" not in grant(world, account)
    assert handler({}, None)["accounts"] == 0
    admit(world, account)
    assert handler({}, None)["accounts"] == 1


def test_an_account_with_a_newly_admitted_request_stays_in_its_shard(world: UsageWorld) -> None:
    account = world.account()
    admit(world, account)
    assert stores.lease_index().clear(account.account_id) is False
    assert "busy_shard" in grant(world, account)


def test_concurrent_sweepers_settle_each_request_once(world: UsageWorld) -> None:
    accounts = [world.account() for _ in range(3)]
    dead = [admit(world, account, ago_ms=LONG_DEAD_MS + 1000 * place) for account in accounts for place in range(3)]
    with ThreadPoolExecutor(4) as sweepers:
        list(sweepers.map(lambda _: handler({}, None), range(4)))
    for account in accounts:
        after = grant(world, account)
        assert (after["leases"], after["period_tokens"]) == ({}, 0)
        records = list(stores.ledger_reader().everything(account.account_id))
        assert {record.request_id for record in records} == {
            each.request.request_id for each in dead if each.request.account_id == account.account_id
        }


def test_a_record_that_the_gateway_wrote_before_it_died_is_kept(world: UsageWorld) -> None:
    account = world.account()
    dead = admit(world, account, ago_ms=LONG_DEAD_MS)
    written = world.record(account.account_id, request_id=dead.request.request_id, prompt_tokens=5, completion_tokens=6)
    assert handler({}, None)["settled"] == 1
    assert stores.ledger_reader().get(account.account_id, dead.request.request_id) == written
    assert grant(world, account)["period_tokens"] == 11


def test_an_account_with_an_invalid_grant_does_not_stop_the_others(world: UsageWorld) -> None:
    spoilt, good = world.account(), world.account()
    admit(world, spoilt, ago_ms=LONG_DEAD_MS)
    dead = admit(world, good, ago_ms=LONG_DEAD_MS)
    world.set_grant(spoilt.account_id, limits={})
    done = handler({}, None)
    assert (done["settled"], done["failed"]) == (1, 1)
    assert stores.ledger_reader().get(good.account_id, dead.request.request_id) is not None


def test_an_unavailable_store_ends_the_run_early_and_the_next_run_works(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [world.account() for _ in range(3 * WORKERS)]
    for account in accounts:
        admit(world, account, ago_ms=LONG_DEAD_MS)
    asked = []

    def away(self: object, record: Any) -> Any:
        asked.append(record)
        raise StoreUnavailable()

    with monkeypatch.context() as down:
        down.setattr(type(stores.hot_store()), "put_record", away)
        done = handler({}, None)
    assert (done["settled"], done["complete"], done["failed"]) == (0, False, len(asked))
    assert len(asked) <= WORKERS
    assert handler({}, None)["settled"] == len(accounts)


def test_an_index_that_cannot_be_read_ends_the_run_after_a_few_shards(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(world, world.account(), ago_ms=LONG_DEAD_MS)

    def away(*_: object) -> Any:
        raise StoreUnavailable()

    with monkeypatch.context() as down:
        down.setattr(type(stores.lease_index()), "accounts", away)
        done = handler({}, None)
    assert (done["settled"], done["failed"], done["complete"]) == (0, DOWN_AFTER, False)
    with monkeypatch.context() as down:
        down.setattr(type(stores.hot_store()), "grants_of", away)
        done = handler({}, None)
    assert (done["settled"], done["failed"], done["complete"]) == (0, 1, True)
    assert handler({}, None)["settled"] == 1


def test_a_throttled_store_gets_one_call_at_a_time_and_the_run_goes_on(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [world.account() for _ in range(4 * WORKERS)]
    for account in accounts:
        admit(world, account, ago_ms=LONG_DEAD_MS)
    put, numbers, lock, at_once = type(stores.hot_store()).put_record, itertools.count(), threading.Lock(), []

    def throttled(self: Any, record: Any) -> Any:
        if (number := next(numbers)) < 2 * WORKERS and number % 2:
            raise StoreUnavailable()
        free = lock.acquire(blocking=False)
        at_once.append((number, not free))
        stored = put(self, record)
        if free:
            lock.release()
        return stored

    with monkeypatch.context() as slow:
        slow.setattr(type(stores.hot_store()), "put_record", throttled)
        done = handler({}, None)
    assert (done["settled"], done["failed"], done["complete"]) == (3 * WORKERS, WORKERS, True)
    assert not any(beside for number, beside in at_once if number >= 3 * WORKERS)  # the places were closed by then
    assert handler({}, None)["settled"] == WORKERS


def test_a_sweep_that_is_killed_leaves_each_request_to_be_settled_once(world: UsageWorld) -> None:
    accounts = [world.account() for _ in range(12)]
    dead = [admit(world, account, ago_ms=LONG_DEAD_MS + place) for account in accounts for place in range(2)]
    program = """
import itertools, os, signal
from functions.sweeper.app import handler
from sluice.wiring import stores
store, calls = type(stores.hot_store()), itertools.count()
release = store.release
store.release = lambda *given: os.kill(os.getpid(), signal.SIGKILL) if next(calls) == 9 else release(*given)
handler({}, None)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    held = [grant(world, account)["leases"] for account in accounts]
    assert 0 < sum(map(len, held)) < len(dead)
    handler({}, None)
    for account in accounts:
        after = grant(world, account)
        assert (after["leases"], after["period_tokens"], "busy_shard" in after) == ({}, 0, False)
        records = list(stores.ledger_reader().everything(account.account_id))
        mine = [each.request.request_id for each in dead if each.request.account_id == account.account_id]
        assert sorted(record.request_id for record in records) == sorted(mine)


def test_a_request_that_is_admitted_during_the_sweep_keeps_its_account_in_its_shard(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.account()
    dead = admit(world, account, ago_ms=LONG_DEAD_MS)
    put, admitted = type(stores.hot_store()).put_record, []

    def beside(self: Any, record: Any) -> Any:
        if not admitted:
            admitted.append(admit(world, account).request.request_id)
        return put(self, record)

    monkeypatch.setattr(type(stores.hot_store()), "put_record", beside)
    done = handler({}, None)
    assert (done["settled"], done["cleared"]) == (1, 0)
    after = grant(world, account)
    assert (["req_" + key for key in after["leases"]], "busy_shard" in after) == (admitted, True)
    assert stores.ledger_reader().get(account.account_id, dead.request.request_id) is not None


def no_runs(account_id: str, run_id: str) -> None:
    raise AssertionError("there are none")


def test_a_run_stops_at_its_deadline_and_the_next_run_continues(world: UsageWorld) -> None:
    for account in [world.account() for _ in range(3)]:
        admit(world, account, ago_ms=LONG_DEAD_MS)
    times = itertools.count(now_ms())  # a millisecond passes at each look at the clock
    swept = Sweeper(stores.hot_store(), stores.lease_index(), lambda: next(times), no_runs).sweep(next(times) + 2)
    assert not swept.complete
    assert not Sweeper(stores.hot_store(), stores.lease_index(), lambda: 5, no_runs).sweep(5).complete
    assert handler({}, None)["settled"] == 3 - swept.settled


def test_overdue_mails_are_given_to_the_mailer_again(world: UsageWorld) -> None:
    mail = new_mail(Kind.QUOTA_80, account_id="usr_a", to="a@example.com", now_ms=now_ms() - 10 * MINUTE_MS)
    sent = replace(mail, mail_id="mail_sent", state="sent")
    for each in (mail, sent):
        stores.mail_store().queue(each)
    assert handler({}, None)["requeued"] == 1
    items = dynamo.client().scan(TableName=table("mails"), ConsistentRead=True)["Items"]
    touched = [item["mail_id"]["S"] for item in items if "requeued_ms" in item]
    assert touched == [mail.mail_id]
