"""Requests that wait for their turn before they are admitted, fair between accounts (ADR 114).

A line holds the requests of one account for one model, in the order in which they came. The lines take turns. What a
line waits for, its last refusal says: TooManyConcurrentRequests, that an exchange of the account ends; Overloaded, that
one with the model ends. Each exchange that ends calls the next waiter of each kind, and only that one: it asks for
admission again. A waiter that is refused again keeps its turn. The first of each line asks now and then without a call,
because limits change, and other processes free places too.

Nothing of it is stored: a waiting request holds no lease, and a process that dies takes its queue with it.
"""

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from sluice.domain import errors
from sluice.services.gateway.flows import Flows

TICK_SECONDS = 1.0  # how often a waiting request looks whether its caller is still there
ASK_EVERY_SECONDS = 2.0  # without a call
WAITED_FOR = (errors.TooManyConcurrentRequests, errors.Overloaded)

Key = tuple[str, str]  # account id, model
Refusal = errors.TooManyConcurrentRequests | errors.Overloaded
Begun = TypeVar("Begun")
Result = TypeVar("Result")


class Place(NamedTuple):
    """`place` of `waiting`, counted from 1, in the order of turns. `seconds`: predicted until it is admitted."""

    place: int
    waiting: int
    seconds: int


@dataclass(eq=False)
class Waiter:
    """A request that came at `since_s` and may wait until `until_s` (monotonic). `first`: its place when it began to
    wait, None if it did not. `admitted`: it holds a lease, or was settled. `called`: it is its turn. `seen`: what had
    ended when it asked last. `uncalled`: it asked without a call."""

    account_id: str
    model: str
    since_s: float
    until_s: float
    clock: Callable[[], float]
    first: Place | None = None
    admitted: bool = False
    called: threading.Event = field(default_factory=threading.Event)
    seen: tuple[int, int] = (0, 0)
    uncalled: bool = False

    @property
    def key(self) -> Key:
        return self.account_id, self.model

    @property
    def late(self) -> bool:
        return self.clock() >= self.until_s


@dataclass(eq=False)
class _Line:
    """`asked_s`: when one of its requests asked last (monotonic)."""

    refusal: Refusal
    asked_s: float
    waiters: deque[Waiter] = field(default_factory=deque)

    @property
    def for_model(self) -> bool:
        return isinstance(self.refusal, errors.Overloaded)

    def uncalled(self) -> Waiter | None:
        return next((one for one in self.waiters if not one.called.is_set()), None)


class Observer(Protocol):
    def waiting(self, change: int) -> None:
        """How many more, or fewer, wait now."""

    def waited(self, predicted_seconds: float, seconds: float) -> None:
        """Of a request that was admitted in the end."""


class Queue:
    """Thread-safe. At most `most` requests wait, and of one account half as many."""

    def __init__(
        self, most: int, observer: Observer | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._most_of_one, self._observer, self._clock = most, max(1, most // 2), observer, clock
        self._lines: OrderedDict[Key, _Line] = OrderedDict()  # in the order of their turns
        self._waiting: Counter[str] = Counter()
        self._flows = Flows()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._waiting.total()

    def waiter(self, account_id: str, model: str, seconds: float) -> Waiter:
        now_s = self._clock()
        return Waiter(account_id, model, now_s, now_s + seconds, self._clock)

    # --- exchanges

    def began(self, account_id: str, model: str) -> None:
        with self._lock:
            self._flows.began(account_id, model)

    def ended(self, account_id: str, model: str, held_seconds: float | None) -> None:
        """`held_seconds`: None if the admission was taken back, so that the model is as full as before."""
        with self._lock:
            self._flows.ended(account_id, model, held_seconds)
            self._call(lambda key, line: key[0] == account_id and not line.for_model)
            if held_seconds is not None:
                self._call(lambda key, line: key[1] == model and line.for_model)

    def _call(self, wanted: Callable[[Key, _Line], bool]) -> None:
        for key, line in self._lines.items():
            if wanted(key, line) and (next_one := line.uncalled()):
                next_one.called.set()
                self._lines.move_to_end(key)
                return

    # --- waiters

    def others_wait(self, waiter: Waiter) -> bool:
        """Whether requests of the same account for the same model came first."""
        return waiter.key in self._lines

    def is_turn(self, waiter: Waiter) -> bool:
        """Whether it may ask for admission now."""
        if waiter.called.is_set():
            return True
        with self._lock:
            line = self._lines.get(waiter.key)
            if line is None or self._clock() - line.asked_s < ASK_EVERY_SECONDS or line.uncalled() is not waiter:
                return False
            waiter.called.set()
            waiter.uncalled = True
            return True

    def asks(self, waiter: Waiter) -> None:
        """Just before it asks for admission."""
        with self._lock:
            waiter.seen = self._flows.ends(*waiter.key)
            if waiter.key in self._lines:
                self._lines[waiter.key].asked_s = self._clock()

    def joins(self, waiter: Waiter) -> None:
        """Behind others of its line. Errors: the refusal of the first of them, if there is no room."""
        with self._lock:
            if (line := self._lines.get(waiter.key)) is None:
                waiter.called.set()  # they have gone meanwhile, so it asks
                line = _Line(errors.TooManyConcurrentRequests(), self._clock())
            self._join(waiter, line)

    def refused(self, waiter: Waiter, refusal: Refusal) -> None:
        """What it asked for was not there. Errors: the refusal, if there is no room for one more to wait."""
        with self._lock:
            line = self._lines.get(waiter.key) or _Line(refusal, self._clock())
            had_turn = waiter.first is not None
            passed_on = line.for_model and not isinstance(refusal, errors.Overloaded)
            line.refusal = copy(refusal)  # without its traceback
            self._join(waiter, line)
            if had_turn:
                self._lines.move_to_end(waiter.key, last=False)
            if self._flows.ends(*waiter.key)[line.for_model] == waiter.seen[line.for_model]:
                waiter.called.clear()  # else what it waits for has come meanwhile
            waiter.uncalled = False
            if passed_on:
                self._call(lambda key, other: key[1] == waiter.model and other.for_model)

    def _join(self, waiter: Waiter, line: _Line) -> None:
        if waiter in line.waiters:
            return
        if waiter.first is not None:  # it had its turn, and the engine did not begin
            line.waiters.appendleft(waiter)
        elif self._waiting.total() >= self._most or self._waiting[waiter.account_id] >= self._most_of_one:
            raise copy(line.refusal)
        else:
            line.waiters.append(waiter)
        self._lines.setdefault(waiter.key, line)
        self._waiting[waiter.account_id] += 1
        waiter.first = waiter.first or self._place(waiter)
        if self._observer is not None:
            self._observer.waiting(1)

    def leave(self, waiter: Waiter) -> None:
        """It was admitted, or its caller waits no longer. Calling it again does nothing."""
        with self._lock:
            line = self._lines.get(waiter.key)
            if line is None or waiter not in line.waiters:
                return
            line.waiters.remove(waiter)
            self._waiting[waiter.account_id] -= 1
            if not self._waiting[waiter.account_id]:
                del self._waiting[waiter.account_id]
            if not line.waiters:
                del self._lines[waiter.key]
            self._observe_end(waiter)
            if waiter.uncalled and waiter.admitted and waiter.key in self._lines:
                self._lines.move_to_end(waiter.key)  # it took its line's turn
            unused = waiter.called.is_set() and not waiter.admitted
            if unused or waiter.uncalled:  # there may be room for more than was known
                self._call(lambda key, other: self._compete(waiter.key, line, key, other))

    def _observe_end(self, waiter: Waiter) -> None:
        if self._observer is None:
            return
        self._observer.waiting(-1)
        if waiter.admitted and waiter.first is not None:
            self._observer.waited(waiter.first.seconds, self._clock() - waiter.since_s)

    def refusal(self, waiter: Waiter) -> Refusal:
        """Why it waits."""
        line = self._lines.get(waiter.key)
        return copy(line.refusal) if line else errors.TooManyConcurrentRequests()

    def place(self, waiter: Waiter) -> Place | None:
        """None if it does not wait at the moment."""
        with self._lock:
            line = self._lines.get(waiter.key)
            return self._place(waiter) if line and waiter in line.waiters else None

    def _place(self, waiter: Waiter) -> Place:
        line = self._lines[waiter.key]
        position = ahead = line.waiters.index(waiter)
        waiting, before = 0, True
        for key, other in self._lines.items():
            if other is line:
                before = False
            elif self._compete(waiter.key, line, key, other):
                ahead += min(len(other.waiters), position + before)
            else:
                continue
            waiting += len(other.waiters)
        seconds = self._flows.seconds_each(*waiter.key, for_model=line.for_model) * (ahead + 1)
        return Place(ahead + 1, waiting, max(1, round(seconds)))

    @staticmethod
    def _compete(key: Key, line: _Line, other_key: Key, other: _Line) -> bool:
        """Whether both wait for the same places: the account's, or the model's."""
        part = 1 if line.for_model else 0
        return line.for_model == other.for_model and key[part] == other_key[part]


@dataclass(frozen=True)
class Ask(Generic[Begun, Result]):
    """How a waiting request asks. `begin`: asks for admission, and then the model. `finish`: yields None while the
    model has begun nothing, then the result. `check`: raises if the caller has gone or may not ask any more."""

    begin: Callable[[], Begun]
    finish: Callable[[Begun], Iterator[Result | None]]
    check: Callable[[], None]


def in_turn(queue: Queue, waiter: Waiter, ask: Ask[Begun, Result]) -> Iterator[Result | None]:
    """Yields None at least once a second until it yields the result, and ends. A generator that is closed, or never
    started, leaves the waiter where it is: the caller calls `Queue.leave`. Errors: of `ask`, and the last refusal when
    the time is over or too many wait."""
    if queue.others_wait(waiter):
        ask.check()
        queue.joins(waiter)
    else:
        waiter.called.set()
    while True:
        if queue.is_turn(waiter):
            queue.asks(waiter)
            try:
                begun = ask.begin()
                queue.leave(waiter)
                yield from ask.finish(begun)
                return
            except WAITED_FOR as refusal:
                if waiter.admitted or waiter.late:
                    raise
                queue.refused(waiter, refusal)
        ask.check()
        if waiter.late:
            raise queue.refusal(waiter)
        yield None
        waiter.called.wait(min(TICK_SECONDS, max(0.0, waiter.until_s - waiter.clock())))
