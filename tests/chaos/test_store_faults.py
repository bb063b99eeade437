"""The store behind a bad network: nothing is charged twice, no record is lost, and Sluice recovers by itself."""

import random
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from sluice.adapters.aws.access import Access
from sluice.adapters.aws.json_service import DYNAMODB, HOT, JsonService
from sluice.adapters.gateway.hot_store import DynamoHotStore
from sluice.domain import errors
from sluice.domain.gateway.leases import LEASE_MS
from sluice.services.gateway.admit import Admission, Admitted
from sluice.services.gateway.settle import Outcome, settle, settle_abandoned
from tests.chaos import proxy as faults
from tests.chaos.proxy import FaultProxy, fault_proxy
from tests.integration.gateway.admission.world import (
    DEFAULTS,
    NOW_MS,
    NOW_NS,
    PREFIX,
    REGION,
    Account,
    Engine,
    close,
    credentials,
    hot_store,
    running_engine,
)
from tests.ports import free_port
from tests.store_process import running_store
from tests.waiting import eventually

DEAD_MS = NOW_MS + LEASE_MS + 10_000
BROKEN_ONCE = (
    faults.CUT_BEFORE,
    faults.CUT_AFTER,
    faults.CUT_AMID,
    faults.THROTTLE,
    faults.FAIL,
    faults.GARBAGE,
    faults.EMPTY,
    faults.SLOW,
)
BROKEN_FOR_LONG = (*BROKEN_ONCE[:-1], faults.REFUSE, faults.BLACKHOLE, faults.DRIBBLE)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running_engine() as running:
        yield running


@pytest.fixture
def proxy(engine: Engine) -> Iterator[FaultProxy]:
    with fault_proxy(int(urlsplit(engine.url).port or 0)) as running:
        yield running


@pytest.fixture
def store(proxy: FaultProxy) -> Iterator[DynamoHotStore]:
    """The hot client with its time-outs, and the proxy in its way. Arranging and looking go straight to the engine."""
    service = JsonService(DYNAMODB, HOT, url=proxy.url, granted=Access(REGION, credentials()))
    through = DynamoHotStore(service, PREFIX)
    yield through
    close(through)


@pytest.fixture
def patient(proxy: FaultProxy) -> Iterator[DynamoHotStore]:
    """The hot client with all its attempts, which waits for a busy machine: of faults that need no time-out."""
    through = hot_store(proxy.url)
    yield through
    close(through)


def _admit(store: DynamoHotStore, account: Account, tokens: int = 100) -> Admitted:
    return Admission(store, account.limits).admit(account.ask(tokens), NOW_NS)


def _warm(store: DynamoHotStore, account: Account) -> None:
    """A connection in the pool, so that what is cut is one that served before."""
    store.grant(account.id)


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "kept connection"])
@pytest.mark.parametrize("fault", BROKEN_ONCE)
def test_an_admission_that_meets_a_fault_is_charged_once(
    engine: Engine, proxy: FaultProxy, patient: DynamoHotStore, fault: str, warm: bool
) -> None:
    account = engine.account()
    if warm:
        _warm(patient, account)
    proxy.once(fault, "UpdateItem")
    admitted = _admit(patient, account)
    grant = account.grant()
    assert (grant.period_tokens, list(grant.leases)) == (100, [admitted.request.request_id])
    assert grant.tat_tokens_ns == NOW_NS + admitted.lease.charged_tokens_ns
    assert ("UpdateItem", fault) in proxy.seen


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem"])
@pytest.mark.parametrize("fault", BROKEN_ONCE)
def test_a_settlement_that_meets_a_fault_is_made_once(
    engine: Engine, proxy: FaultProxy, patient: DynamoHotStore, fault: str, operation: str
) -> None:
    account = engine.account()
    admitted = _admit(patient, account)
    proxy.once(fault, operation)
    record, _ = settle(patient, account.id, admitted.request.request_id, admitted.lease, Outcome(200, 20, 30))
    assert account.records() == [record]
    assert (account.grant().leases, account.grant().period_tokens) == ({}, 50)
    assert account.grant().tat_tokens_ns == NOW_NS + admitted.lease.charged_tokens_ns // 2
    assert (operation, fault) in proxy.seen


@pytest.mark.parametrize("fault", BROKEN_FOR_LONG)
def test_a_store_that_stays_broken_is_unavailable_in_time_and_recovers_alone(
    engine: Engine, proxy: FaultProxy, store: DynamoHotStore, fault: str
) -> None:
    account = engine.account()
    _warm(store, account)
    proxy.always(fault)
    with pytest.raises(errors.StoreUnavailable):
        _admit(store, account)
    assert not proxy.ended, "it gives up while the answer is still withheld"

    proxy.always(faults.PASS)
    _admit(store, account)
    # The broken store may have made a lease without an answer: the sweeper makes it a record, not a charge.
    for identifier, lease in account.grant().leases.items():
        settle_abandoned(store, account.id, identifier, lease)
    assert (account.grant().leases, account.grant().period_tokens) == ({}, 0)
    assert all(record.total_tokens == 0 for record in account.records())


@pytest.mark.parametrize("fault", [faults.CUT_AFTER, faults.CUT_BEFORE, faults.THROTTLE])
def test_a_settlement_the_store_never_answers_is_left_whole_for_the_sweeper(
    engine: Engine, proxy: FaultProxy, store: DynamoHotStore, fault: str
) -> None:
    account = engine.account()
    admitted = _admit(store, account)
    proxy.always(fault)
    with pytest.raises(errors.StoreUnavailable):
        settle(store, account.id, admitted.request.request_id, admitted.lease, Outcome(200, 20, 30))
    proxy.always(faults.PASS)

    settle_abandoned(store, account.id, admitted.request.request_id, admitted.lease)

    (record,) = account.records()
    # After `cut after` the gateway's own record had been written, so that is the amount charged.
    assert record.total_tokens == (50 if fault == faults.CUT_AFTER else 0)
    assert (account.grant().leases, account.grant().period_tokens) == ({}, record.total_tokens)


def test_a_request_the_store_sees_only_after_we_gave_up_is_not_charged_twice(
    engine: Engine, proxy: FaultProxy, store: DynamoHotStore
) -> None:
    """The late copy arrives after its retry was admitted and settled, and must not take anything."""
    account, admission = engine.account(), Admission(store, DEFAULTS)
    admission.admit(account.ask(100), NOW_NS)  # both buckets are in use now, as the late copy assumes
    proxy.once(faults.LATE, "UpdateItem")
    try:
        admitted = admission.admit(account.ask(100), NOW_NS)
        settle(store, account.id, admitted.request.request_id, admitted.lease, Outcome(200, 20, 30))
    except errors.StoreUnavailable:
        pass  # giving up is allowed
    eventually(lambda: faults.LATE in proxy.ended)
    for identifier, lease in account.grant().leases.items():
        settle_abandoned(store, account.id, identifier, lease)
    grant = account.grant()
    assert grant.leases == {}
    assert grant.period_tokens == sum(record.total_tokens for record in account.records())


def test_under_load_through_a_bad_network_everything_adds_up(
    engine: Engine, proxy: FaultProxy, patient: DynamoHotStore
) -> None:
    """Every second call meets a fault. Each admitted request has a record, and the charge is the sum of the records."""
    account = engine.account(rpm=100_000, tpm=10_000_000, concurrency=1000)
    dice = random.Random(7)
    bad = (faults.CUT_BEFORE, faults.CUT_AFTER, faults.CUT_AMID, faults.THROTTLE, faults.FAIL)
    proxy.fault = lambda operation: dice.choice(bad) if operation != "connect" and dice.random() < 0.5 else faults.PASS
    admission = Admission(patient, account.limits)
    admitted_ids: list[str] = []

    def run() -> None:
        for _ in range(6):
            try:
                admitted = admission.admit(account.ask(100), NOW_NS)
            except errors.Unavailable:
                continue
            admitted_ids.append(admitted.request.request_id)
            for _ in range(3):
                try:
                    settle(patient, account.id, admitted.request.request_id, admitted.lease, Outcome(200, 20, 30))
                except errors.StoreUnavailable:
                    continue
                break

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    proxy.always(faults.PASS)
    for identifier, lease in account.grant().leases.items():
        settle_abandoned(patient, account.id, identifier, lease)

    records = account.records()
    assert len(admitted_ids) > 15
    assert set(admitted_ids) <= {record.request_id for record in records}
    assert account.grant().leases == {}
    assert account.grant().period_tokens == sum(record.total_tokens for record in records)


def test_connections_are_kept_and_a_restarted_store_is_found_again(
    engine: Engine, proxy: FaultProxy, patient: DynamoHotStore
) -> None:
    account = engine.account()
    for _ in range(20):
        patient.grant(account.id)
    assert proxy.connections == 1

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    moved = hot_store(url)
    with running_store(port=port):
        Engine("first", url).close()
        assert moved.grant("usr_nobody") is None
    with pytest.raises(errors.StoreUnavailable):
        moved.grant("usr_nobody")
    with running_store(port=port):
        Engine("second", url).close()
        assert moved.grant("usr_nobody") is None
    close(moved)
