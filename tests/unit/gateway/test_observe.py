"""The gateway's metrics, also for refusals and while the store is unavailable."""

import pytest

from sluice.domain.errors import QuotaExceeded, RateLimitExceeded, StoreUnavailable
from sluice.domain.gateway.admission import AdmissionRequest, Limits
from sluice.domain.ids import request_id
from sluice.domain.usage import measures
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.measures import Measure
from sluice.services.gateway.observe import ExchangeMetrics, ObservedAdmission
from tests.fakes.hot_store import FakeHotStore, grant_of

NOW_NS = 1_800_000_000_000_000_000
NOW_MS = NOW_NS // 1_000_000


class Figures:
    def __init__(self) -> None:
        self.seen: list[tuple[str, float, dict[str, str]]] = []
        self.flushes = 0

    def count(self, measure: Measure, amount: int = 1, **labels: str) -> None:
        self.seen.append((measure.name, amount, labels))

    observe = change = count  # type: ignore[assignment]

    def flush(self) -> None:
        self.flushes += 1

    def of(self, measure: Measure) -> list[float]:
        return [value for name, value, _ in self.seen if name == measure.name]


class World:
    def __init__(self, **limits: int) -> None:
        self.store, self.figures = FakeHotStore(), Figures()
        self.store.grants["usr_a"] = grant_of(now_ms=NOW_MS, **limits)
        self.told: list[tuple[str, int]] = []
        self.tell_fails = False
        self.admission = ObservedAdmission(self.store, Limits(60, 40_000, 4, 1_000_000), self.figures, self.tell)

    def tell(self, account_id: str, now_ms: int) -> None:
        if self.tell_fails:
            raise StoreUnavailable()
        self.told.append((account_id, now_ms))

    def admit(self) -> None:
        request = AdmissionRequest("usr_a", request_id(NOW_MS), "tok_a", 100, "demo", "completions", False)
        self.admission.admit(request, NOW_NS)


def test_an_admission_is_timed_and_its_lease_counts_as_running() -> None:
    world = World()
    world.admit()
    assert len(world.figures.of(measures.ADMISSION)) == 1
    assert world.figures.of(measures.ADMISSION_WRITES) == [1]
    assert world.figures.of(measures.RUNNING) == [1]


def test_a_refusal_is_timed_and_adds_no_running_lease() -> None:
    world = World(rpm=1)
    world.admit()
    with pytest.raises(RateLimitExceeded):
        world.admit()
    assert len(world.figures.of(measures.ADMISSION)) == 2
    assert world.figures.of(measures.RUNNING) == [1]
    assert world.told == []


def test_the_owner_is_notified_of_a_quota_that_is_used_up() -> None:
    world = World(monthly_tokens=150)
    world.admit()
    with pytest.raises(QuotaExceeded):
        world.admit()
    assert world.told == [("usr_a", NOW_MS)]


def test_the_refusal_is_the_same_when_the_owner_cannot_be_notified() -> None:
    world = World(monthly_tokens=50)
    world.tell_fails = True
    with pytest.raises(QuotaExceeded):
        world.admit()


def test_a_settlement_is_counted_by_endpoint_status_and_tokens_and_flushed() -> None:
    figures = Figures()
    record = LedgerRecord(
        "usr_a", request_id(NOW_MS), "tok_a", "demo", "completions", True, 499,
        7, 8, 5, 1, NOW_MS, 90, 40, "cancelled", 202611,
    )  # fmt: skip
    ExchangeMetrics(figures).settled(record, 0.004)
    assert ("requests", 1, {"endpoint": "completions", "status": "499"}) in figures.seen
    assert ("first_token_seconds", 0.04, {"endpoint": "completions"}) in figures.seen
    assert figures.of(measures.TOKENS) == [7, 8, 5]
    assert figures.of(measures.SETTLEMENT) == [0.004]
    assert figures.of(measures.RUNNING) == [-1]
    assert figures.flushes == 1


def test_a_settlement_left_to_the_sweeper_is_counted_and_its_lease_no_longer_runs() -> None:
    figures = Figures()
    ExchangeMetrics(figures).settlement_failed()
    assert figures.of(measures.SETTLEMENT_FAILURES) == [1]
    assert figures.of(measures.RUNNING) == [-1]
