"""A server that fails is left alone for a while, and found again by one request."""

from sluice.services.gateway.circuit import FAILURES, PAUSE_SECONDS, WITHIN_SECONDS, Circuit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Circuit, Clock]:
    clock = Clock()
    circuit = Circuit(clock)
    for _ in range(FAILURES):
        circuit.failed()
    return circuit, clock


def test_five_failures_within_half_a_minute_open_it() -> None:
    circuit, clock = opened()
    assert not circuit.lets_through() and circuit.seconds_left() == PAUSE_SECONDS
    slow = Circuit(clock)
    for _ in range(3 * FAILURES):
        slow.failed()
        clock.now += WITHIN_SECONDS / (FAILURES - 1) + 0.1
        assert slow.lets_through()


def test_after_the_pause_one_request_asks_and_the_others_wait_for_what_it_finds() -> None:
    circuit, clock = opened()
    clock.now += PAUSE_SECONDS
    assert circuit.lets_through() and not circuit.lets_through()
    circuit.failed()
    clock.now += PAUSE_SECONDS - 0.1
    assert not circuit.lets_through()
    clock.now += 0.1
    assert circuit.lets_through()
    circuit.worked()
    assert circuit.lets_through() and circuit.lets_through() and circuit.seconds_left() == 0.0


def test_an_answer_forgets_the_failures_before_it() -> None:
    circuit = Circuit(Clock())
    for _ in range(FAILURES - 1):
        circuit.failed()
    circuit.worked()
    circuit.failed()
    assert circuit.lets_through()


def test_an_answer_that_only_began_lets_others_ask_and_forgets_nothing() -> None:
    circuit, clock = opened()
    clock.now += PAUSE_SECONDS
    assert circuit.lets_through() and not circuit.lets_through()
    circuit.began()
    assert circuit.lets_through() and circuit.lets_through()
    circuit.failed()
    assert not circuit.lets_through(), "five within half a minute, whatever was begun in between"
