"""The day of a paid upstream: no more is spent than its bound, whatever happens at once, and what is spent is what the
ledger says and what stays reserved on purpose."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.adapters.aws.json_service import Refused, Unanswered
from sluice.adapters.gateway import spend as adapter
from sluice.adapters.gateway.spend import DynamoSpend
from sluice.domain.errors import StoreUnavailable
from sluice.domain.ids import random_id
from sluice.domain.usage.pricing import bound_micro_usd
from sluice.ports.gateway import Reserved
from sluice.services.gateway import exchange as exchanges
from tests.integration.gateway.admission.paid import ANSWER, ENDS, PRICES, PROMPT, Life, Paid, patient_client
from tests.integration.gateway.admission.world import NOW_MS, NOW_S, PREFIX, Engine
from tests.waiting import eventually

AT_ONCE = 24
DAY_MS = 86_400_000
BOUND = bound_micro_usd(PRICES, PROMPT + 48, ANSWER)  # of one request
THROTTLED = "ProvisionedThroughputExceededException"


@pytest.fixture
def spend(engine: Engine) -> DynamoSpend:
    return DynamoSpend(patient_client(engine.url), PREFIX)


@pytest.fixture
def name() -> str:
    return random_id("paid_")


@pytest.fixture(scope="module", autouse=True)
def idle_connections(engine: Engine) -> Iterator[None]:
    yield
    patient_client(engine.url).close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "SETTLE_PAUSE_SECONDS", 0.001)


def at_once(times: int, work: Callable[[int], Any]) -> list[Any]:
    ready = threading.Barrier(times)

    def one(number: int) -> Any:
        ready.wait()
        return work(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def finished(life: Iterator[Life]) -> Life:
    return list(life)[-1]


# --- the item


@pytest.mark.parametrize(("cost", "fit"), [(7, 14), (100, 1), (101, 0), (50, 2)])
def test_of_many_at_once_exactly_as_many_reserve_as_fit(spend: DynamoSpend, name: str, cost: int, fit: int) -> None:
    made = at_once(AT_ONCE, lambda _: spend.reserve(name, 100, cost, NOW_MS))
    assert sum(one is not None for one in made) == fit
    assert spend.spent(name, NOW_MS) == fit * cost


def test_what_is_given_back_may_be_reserved_again_on_its_own_day(spend: DynamoSpend, name: str) -> None:
    before = spend.reserve(name, 100, 80, NOW_MS)
    assert before is not None and spend.reserve(name, 100, 30, NOW_MS) is None
    tomorrow = NOW_MS + DAY_MS
    assert spend.reserve(name, 100, 100, tomorrow) is not None, "a day has its own bound"
    spend.give_back(before, 50)  # after midnight: of the day that it was reserved of
    assert (spend.spent(name, NOW_MS), spend.spent(name, tomorrow)) == (30, 100)
    assert spend.reserve(name, 100, 71, NOW_MS) is None
    assert spend.reserve(name, 100, 70, NOW_MS) is not None


def test_a_bound_below_what_is_spent_lets_nothing_through_that_costs(spend: DynamoSpend, name: str) -> None:
    reserved = spend.reserve(name, 100, 60, NOW_MS)
    assert reserved is not None and spend.reserve(name, 50, 1, NOW_MS) is None
    assert spend.reserve(name, 0, 1, NOW_MS) is None
    assert spend.reserve(name, 0, 0, NOW_MS) is not None, "what costs nothing needs no room"
    spend.give_back(reserved, 40)
    assert spend.reserve(name, 50, 30, NOW_MS) is not None and spend.spent(name, NOW_MS) == 50


def test_more_than_is_spent_is_never_given_back(spend: DynamoSpend, name: str) -> None:
    spend.give_back(Reserved(name, "2027-01-15", 10), 10)
    assert spend.spent(name, NOW_MS) == 0
    assert spend.reserve(name, 100, 5, NOW_MS) is not None
    spend.give_back(Reserved(name, "2027-01-15", 10), 10)
    assert spend.spent(name, NOW_MS) == 5


def test_a_day_is_deleted_by_its_ttl_some_days_later(engine: Engine, spend: DynamoSpend, name: str) -> None:
    spend.reserve(name, 100, 5, NOW_MS)
    key = {"throttle_key": {"S": f"spend/{name}/2027-01-15"}}
    item = engine.client.get_item(TableName=PREFIX + "throttles", Key=key)["Item"]
    assert NOW_S + 2 * 86_400 < int(item["ttl_s"]["N"]) < NOW_S + 30 * 86_400


class Failing:
    """A store client whose next calls fail, if `made` after the store has executed them."""

    def __init__(self, client: Any, *failures: Exception) -> None:
        self._client, self.failures, self.made = client, list(failures), False
        self.calls: list[dict[str, Any]] = []

    def call(self, operation: str, request: dict[str, Any], **options: Any) -> Any:
        self.calls.append(options)
        if self.failures:
            if self.made:
                self._client.call(operation, request, **options)
            raise self.failures.pop(0)
        return self._client.call(operation, request, **options)


def failing(engine: Engine, *failures: Exception) -> tuple[DynamoSpend, Failing]:
    client: Any = Failing(patient_client(engine.url), *failures)
    return DynamoSpend(client, PREFIX), client


@pytest.mark.parametrize("failure", [Refused(THROTTLED, {}), Unanswered(), Refused("500", {})], ids=str)
def test_a_reservation_that_the_store_does_not_take_at_once_is_not_repeated(
    engine: Engine, name: str, failure: Exception
) -> None:
    spend, client = failing(engine, failure)
    with pytest.raises(StoreUnavailable):
        spend.reserve(name, 100, 5, NOW_MS)
    assert client.calls == [{"once": True}]


@pytest.mark.parametrize(("refusals", "left"), [(3, 0), (4, 100)])
def test_a_give_back_that_is_refused_is_repeated_a_few_times(
    engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch, refusals: int, left: int
) -> None:
    monkeypatch.setattr(adapter, "PAUSE_SECONDS", 0.0)
    spend, client = failing(engine)
    reserved = spend.reserve(name, 1000, 100, NOW_MS)
    assert reserved is not None
    client.calls.clear()
    client.failures = [Refused(THROTTLED, {})] * refusals
    with pytest.raises(StoreUnavailable) if left else nullcontext():
        spend.give_back(reserved, 100)
    assert len(client.calls) == adapter.GIVE_BACK_ATTEMPTS and spend.spent(name, NOW_MS) == left


@pytest.mark.parametrize("failure", [Unanswered(), Refused("500", {})], ids=str)
def test_a_give_back_without_an_answer_is_not_repeated_because_it_may_have_been_made(
    engine: Engine, name: str, failure: Exception
) -> None:
    spend, client = failing(engine)
    first, second = (spend.reserve(name, 1000, 100, NOW_MS) for _ in range(2))
    assert first is not None and second is not None
    client.failures, client.made = [failure], True
    with pytest.raises(StoreUnavailable):
        spend.give_back(first, 100)
    assert spend.spent(name, NOW_MS) == 100


# --- requests


@pytest.mark.parametrize("end", ENDS)
def test_however_a_request_ends_its_day_has_spent_what_it_may_cost(engine: Engine, end: str) -> None:
    paid = Paid(engine, 10 * BOUND)
    life = finished(paid.live(end))
    assert life.reserved == BOUND
    eventually(lambda: paid.spent() == paid.told() + life.kept)
    assert paid.spent() >= life.bill
    if not life.kept and end != "answered without counts":
        assert paid.spent() == life.bill, "nothing stays spent that the server cannot charge for"
    assert len(paid.spend.given) <= 1


def test_of_requests_at_once_no_more_ask_the_paid_server_than_fit_and_the_others_the_next(engine: Engine) -> None:
    paid = Paid(engine, 5 * BOUND + BOUND - 1)
    lives = [paid.live("answered", (PROMPT, ANSWER)) for _ in range(AT_ONCE)]
    for life in lives:
        next(life)
    at_once(AT_ONCE, lambda number: next(lives[number]))  # each has asked, none is settled
    assert paid.spent() == 5 * BOUND
    done = at_once(AT_ONCE, lambda number: finished(lives[number]))
    assert sum(life.reserved > 0 for life in done) == 5
    names = [record.upstream for record in paid.ledger.ledger.values()]
    assert (names.count(paid.name), names.count("free")) == (5, AT_ONCE - 5)
    assert paid.spent() == paid.told() == sum(life.bill for life in done) > 0


def test_what_is_given_back_lets_later_requests_through_until_the_day_is_spent_to_the_micro_dollar(
    engine: Engine,
) -> None:
    paid = Paid(engine, 20 * BOUND)
    done = at_once(8, lambda _: [finished(paid.live("answered", (10, 5))) for _ in range(40)])
    assert paid.spent() == paid.told() == sum(life.bill for lives in done for life in lives)
    assert 20 * BOUND - BOUND < paid.spent() <= 20 * BOUND


requests = st.tuples(
    st.sampled_from(sorted(ENDS)), st.tuples(st.integers(0, PROMPT), st.integers(0, ANSWER)), st.integers(0, 5)
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=st.lists(requests, min_size=1, max_size=12), room=st.integers(0, 6), order=st.randoms(use_true_random=False)
)
def test_in_any_order_no_day_is_overspent_and_what_is_spent_is_accounted_for(
    engine: Engine, wanted: list[tuple[str, tuple[int, int], int]], room: int, order: Any
) -> None:
    paid = Paid(engine, room * BOUND + BOUND // 2)
    running = [(paid.live(end, counts), steps) for end, counts, steps in wanted]
    lives: dict[str, Life] = {}
    while running:
        one = order.randrange(len(running))
        try:
            life = next(running[one][0])
            lives[life.request_id] = life
        except StopIteration:
            del running[one]
        assert paid.spent() <= paid.bound
    kept = sum(life.kept for life in lives.values())
    eventually(lambda: paid.spent() == paid.told() + kept)
    assert sum(life.bill for life in lives.values()) <= paid.spent() <= paid.bound
