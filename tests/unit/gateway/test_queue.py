"""The queue before admission: whose turn it is, who is called, and what is left when somebody goes."""

import threading
from collections.abc import Callable, Iterator

import pytest

from sluice.domain.errors import InvalidApiToken, Overloaded, RateLimitExceeded, TooManyConcurrentRequests
from sluice.services.gateway import queue as module
from sluice.services.gateway.queue import ASK_EVERY_SECONDS, Ask, Place, Queue, Waiter, in_turn


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class World:
    """A queue in front of a model with `slots`; an account may run `concurrency` at once. Nothing happens by itself."""

    def __init__(self, slots: int = 1000, concurrency: int = 1000, most: int = 512) -> None:
        self.clock = Clock()
        self.queue = Queue(most, clock=self.clock)
        self.slots, self.concurrency = slots, concurrency
        self.running: list[Waiter] = []
        self.asked: list[Waiter] = []

    def comes(self, account: str, model: str = "demo", seconds: float = 60) -> Waiter:
        waiter = self.queue.waiter(account, model, seconds)
        if self.queue.others_wait(waiter):
            self.queue.joins(waiter)
        else:
            waiter.called.set()
            self.asks(waiter)
        return waiter

    def asks(self, waiter: Waiter) -> bool:
        """Whether it was admitted."""
        self.queue.asks(waiter)
        self.asked.append(waiter)
        if sum(one.account_id == waiter.account_id for one in self.running) >= self.concurrency:
            self.queue.refused(waiter, TooManyConcurrentRequests())
        elif sum(one.model == waiter.model for one in self.running) >= self.slots:
            self.queue.refused(waiter, Overloaded(retry_after_seconds=3))
        else:
            self.queue.began(*waiter.key)
            self.running.append(waiter)
            waiter.admitted = True
            self.queue.leave(waiter)
            return True
        return False

    def ends(self, waiter: Waiter, held_seconds: float = 4.0) -> None:
        self.running.remove(waiter)
        self.queue.ended(*waiter.key, held_seconds)

    def called(self, waiters: list[Waiter]) -> list[Waiter]:
        """Those whose turn it is, without the time that passes."""
        return [one for one in waiters if not one.admitted and one.called.is_set()]


def test_a_request_that_nobody_is_before_asks_at_once() -> None:
    world = World()
    waiter = world.comes("a")
    assert (waiter.admitted, waiter.first, len(world.queue)) == (True, None, 0)


def test_requests_of_an_account_are_admitted_in_the_order_in_which_they_came() -> None:
    world = World(concurrency=1)
    running = world.comes("a")
    waiting = [world.comes("a") for _ in range(5)]
    order = []
    for _ in waiting:
        world.ends(running)
        (running,) = world.called(waiting)
        assert world.asks(running)
        order.append(running)
    assert order == waiting
    assert len(world.queue) == 0


def test_each_end_calls_one_and_only_one() -> None:
    world = World(concurrency=3)
    running = [world.comes("a") for _ in range(3)]
    waiting = [world.comes("a") for _ in range(10)]
    world.asked.clear()
    for count, one in enumerate(running, 1):
        world.ends(one)
        assert world.called(waiting) == waiting[:count]
    assert world.asked == []


@pytest.mark.parametrize("others", [1, 200])
def test_one_request_waits_for_one_slot_more_however_many_another_account_has_waiting(others: int) -> None:
    world = World(slots=2)
    running = [world.comes("greedy") for _ in range(2)]
    greedy = [world.comes("greedy") for _ in range(others)]
    single = world.comes("single")
    assert single.first is not None
    assert single.first.place == 2
    admitted = []
    for one in running:
        world.ends(one)
        for next_one in world.called([*greedy, single]):
            assert world.asks(next_one)
            admitted.append(next_one)
    assert admitted == [greedy[0], single]


def test_accounts_take_turns_whatever_the_number_of_their_requests() -> None:
    world = World(slots=1)
    running = world.comes("x")
    lines = {account: [world.comes(account) for _ in range(count)] for account, count in (("a", 6), ("b", 2), ("c", 1))}
    everybody = [one for line in lines.values() for one in line]
    order = ""
    while len(world.queue):
        world.ends(running)
        (running,) = world.called(everybody)
        assert world.asks(running)
        order += running.account_id
    assert order == "abcabaaaa"


def test_an_account_at_its_own_limit_holds_up_nobody() -> None:
    world = World(slots=10, concurrency=1)
    world.comes("a")
    [world.comes("a") for _ in range(5)]
    assert world.comes("b").admitted


def test_a_full_model_holds_up_no_request_for_another_model() -> None:
    world = World(slots=1)
    world.comes("a", "small")
    assert not world.comes("a", "small").admitted
    assert world.comes("a", "large").admitted


def test_a_call_that_helps_nobody_is_passed_on() -> None:
    """The model has a place, but the account that is called has reached its own limit by then."""
    world = World(slots=2, concurrency=2)
    first, second = world.comes("a"), world.comes("b")
    mine, theirs = world.comes("a"), world.comes("c")
    world.concurrency = 0
    world.ends(second)
    assert world.called([mine, theirs]) == [mine]
    assert not world.asks(mine)
    assert world.called([mine, theirs]) == [theirs]
    assert first in world.running


def test_a_waiter_that_goes_before_it_used_its_call_leaves_it_to_the_next() -> None:
    world = World(concurrency=1)
    running = world.comes("a")
    waiting = [world.comes("a") for _ in range(3)]
    world.ends(running)
    world.queue.leave(waiting[0])
    assert world.called(waiting[1:]) == [waiting[1]]
    world.queue.leave(waiting[0])  # again: nothing
    assert (len(world.queue), world.called(waiting[2:])) == (2, [])


def test_who_leaves_from_the_middle_leaves_no_gap() -> None:
    world = World(concurrency=1)
    running = world.comes("a")
    waiting = [world.comes("a") for _ in range(3)]
    world.queue.leave(waiting[1])
    assert world.queue.place(waiting[2]) == Place(2, 2, 10)
    world.ends(running)
    (running,) = world.called(waiting)
    assert running is waiting[0]
    assert world.asks(running)
    world.ends(running)
    assert world.called(waiting[2:]) == [waiting[2]]


def test_what_ends_between_the_refusal_and_the_wait_is_not_missed() -> None:
    world = World(concurrency=1)
    running = world.comes("a")
    waiter = world.queue.waiter("a", "demo", 60)
    waiter.called.set()
    world.queue.asks(waiter)
    world.ends(running)  # while the store's refusal is on its way
    world.queue.refused(waiter, TooManyConcurrentRequests())
    assert waiter.called.is_set()
    assert world.asks(waiter)


def test_an_admission_that_was_taken_back_calls_nobody_to_the_model() -> None:
    """Else two that the model refuses would call each other without end."""
    world = World(slots=0)
    waiting = [world.comes("a"), world.comes("b")]
    world.queue.began("a", "demo")
    world.queue.ended("a", "demo", None)
    assert world.called(waiting) == []


def test_a_refused_waiter_keeps_its_turn() -> None:
    world = World(slots=1)
    running = world.comes("x")
    mine, theirs = world.comes("a"), world.comes("b")
    world.slots = 0
    world.ends(running)
    assert not world.asks(mine)
    assert world.queue.place(mine) == Place(1, 2, 4)
    world.slots = 1
    world.queue.began("x", "demo")
    world.queue.ended("x", "demo", 4.0)
    assert world.called([mine, theirs]) == [mine]


def test_a_request_that_the_model_let_go_again_comes_before_those_of_its_account() -> None:
    world = World(slots=1)
    running = world.comes("a")
    first, second = world.comes("a"), world.comes("a")
    world.ends(running)
    assert world.asks(first)
    world.running.remove(first)
    first.admitted = False
    world.queue.refused(first, Overloaded())
    assert [world.queue.place(one).place for one in (first, second)] == [1, 2]  # type: ignore[union-attr]


def test_the_first_of_a_line_asks_now_and_then_without_a_call_and_then_the_next_at_once() -> None:
    """Because limits are raised, and other processes free places."""
    world = World(concurrency=1)
    world.comes("a")
    waiting = [world.comes("a") for _ in range(3)]
    assert [world.queue.is_turn(one) for one in waiting] == [False, False, False]
    world.clock.now_s += ASK_EVERY_SECONDS
    world.concurrency = 3
    assert [world.queue.is_turn(one) for one in reversed(waiting)] == [False, False, True]
    assert world.asks(waiting[0])
    assert world.called(waiting) == [waiting[1]]


def test_who_is_admitted_without_a_call_has_taken_the_turn_of_its_line() -> None:
    """Else an account would have two turns in a row where a place is found before its end is known."""
    world = World(slots=1)
    world.comes("x")
    greedy, single = [world.comes("greedy") for _ in range(3)], world.comes("single")
    world.clock.now_s += ASK_EVERY_SECONDS
    world.slots = 2
    assert world.queue.is_turn(greedy[0]) and world.asks(greedy[0])
    assert world.called([*greedy, single]) == [single]


def test_the_queue_is_bounded_for_an_account_and_in_all() -> None:
    world = World(slots=0, most=6)
    for _ in range(3):
        world.comes("a")
    with pytest.raises(Overloaded) as refused:
        world.comes("a")
    assert refused.value.retry_after_seconds == 3
    for account in ("b", "b", "c"):
        world.comes(account)
    with pytest.raises(Overloaded):
        world.comes("d")
    assert len(world.queue) == 6


def test_the_refusal_of_a_full_queue_is_the_one_that_the_request_would_have_got() -> None:
    world = World(concurrency=0, most=1)
    world.comes("a")
    with pytest.raises(TooManyConcurrentRequests):
        world.comes("a")


def test_the_predicted_wait_is_the_place_times_the_mean_time_between_two_ends() -> None:
    world = World(concurrency=2)
    for _ in range(60):  # the mean follows what is measured
        world.ends(world.comes("a"), held_seconds=10.0)
    [world.comes("a") for _ in range(2)]
    waiting = [world.comes("a") for _ in range(4)]
    assert [one.first.seconds for one in waiting if one.first] == [5, 10, 15, 20]


def test_what_was_predicted_is_reported_with_what_it_took() -> None:
    class Observer:
        waits = 0
        told: list[tuple[float, float]] = []  # noqa: RUF012

        def waiting(self, change: int) -> None:
            self.waits += change

        def waited(self, predicted_seconds: float, seconds: float) -> None:
            self.told.append((predicted_seconds, seconds))

    world, observer = World(concurrency=1), Observer()
    world.queue = Queue(10, observer, world.clock)
    running = world.comes("a")
    admitted, gone = world.comes("a"), world.comes("a")
    assert observer.waits == 2
    world.clock.now_s += 7
    world.ends(running)
    assert world.asks(admitted)
    world.queue.leave(gone)
    assert (observer.waits, observer.told) == (0, [(5, 7.0)])


def test_the_memory_of_accounts_and_models_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.services.gateway import flows

    monkeypatch.setattr(flows, "MOST_KEPT", 10)
    world = World()
    kept = world.comes("runs")
    for number in range(100):
        world.ends(world.comes(f"a{number}", f"m{number}"))
    assert len(world.queue._flows._flows) <= 10
    world.ends(kept)
    assert all(flow.running == 0 for flow in world.queue._flows._flows.values())


def test_many_threads_at_once_lose_nobody() -> None:
    """Each is admitted once, never more than two at once, and nothing is left."""
    queue, lock, left = Queue(512), threading.Lock(), threading.Semaphore(2)
    running, most, admitted = [0], [0], []

    def begin(waiter: Waiter) -> None:
        if not left.acquire(blocking=False):
            raise Overloaded()
        waiter.admitted = True
        queue.began(*waiter.key)
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])

    def one(number: int) -> None:
        waiter = queue.waiter(f"a{number % 5}", "demo", 60)
        ask = Ask[None, int](lambda: begin(waiter), lambda begun: iter([number]), lambda: None)
        for result in in_turn(queue, waiter, ask):
            if result is not None:
                with lock:
                    running[0] -= 1
                    admitted.append(result)
                left.release()
                queue.ended(*waiter.key, 0.0)
        queue.leave(waiter)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(admitted) == list(range(200))
    assert most[0] <= 2
    assert (len(queue), queue._lines) == (0, {})


# --- a waiting request, step by step


def steps(
    queue: Queue, waiter: Waiter, begin: Callable[[], None], check: Callable[[], None] = lambda: None
) -> Iterator:
    return in_turn(queue, waiter, Ask[None, str](begin, lambda begun: iter(["answer"]), check))


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.001)


def refused_always() -> None:
    raise TooManyConcurrentRequests()


def test_the_time_being_over_the_refusal_is_the_last_one() -> None:
    clock = Clock()
    queue = Queue(10, clock=clock)
    waiter = queue.waiter("a", "demo", 5)
    waiting = steps(queue, waiter, refused_always)
    assert next(waiting) is None
    clock.now_s += 5
    with pytest.raises(TooManyConcurrentRequests):
        next(waiting)
    queue.leave(waiter)
    assert len(queue) == 0


@pytest.mark.parametrize("refusal", [RateLimitExceeded(7), InvalidApiToken()])
def test_another_refusal_at_its_turn_ends_the_wait(refusal: Exception) -> None:
    queue, answers = Queue(10, clock=Clock()), iter([TooManyConcurrentRequests(), refusal])

    def begin() -> None:
        raise next(answers)

    waiter = queue.waiter("a", "demo", 5)
    waiting = steps(queue, waiter, begin)
    assert next(waiting) is None
    waiter.called.set()
    with pytest.raises(type(refusal)):
        next(waiting)


def test_a_revoked_waiter_is_refused_before_its_turn() -> None:
    queue, revoked = Queue(10, clock=Clock()), threading.Event()

    def check() -> None:
        if revoked.is_set():
            raise InvalidApiToken()

    waiting = steps(queue, queue.waiter("a", "demo", 5), refused_always, check)
    assert next(waiting) is None
    revoked.set()
    with pytest.raises(InvalidApiToken):
        next(waiting)


def test_a_refusal_of_a_request_that_was_charged_is_final() -> None:
    """Else it would be admitted twice, and its second ledger record would be lost."""
    queue = Queue(10, clock=Clock())
    waiter = queue.waiter("a", "demo", 5)

    def begin() -> None:
        waiter.admitted = True
        raise Overloaded()

    with pytest.raises(Overloaded):
        next(steps(queue, waiter, begin))
    assert len(queue) == 0
