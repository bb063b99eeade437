"""A request that waits for its model: pings, its deadline, and what is wrong with it."""

import threading
import time
from typing import Any

import pytest

from functions.inference.errors import DeadlineExceeded, InvalidRequest, Overloaded
from functions.inference.web.choices import CallerGone, Choices
from functions.inference.web.claim import Claim, model_in_silence, stream
from functions.inference.web.disconnect import Caller
from tests.unit.inference.fake_backend import job
from tests.unit.inference.fake_models import Running, has, served
from tests.unit.inference.test_parts import NOBODY, SHAPE

LATER_S = time.monotonic() + 24 * 3600  # all tests together may take an hour


class Gone(Caller):
    def gone(self) -> bool:
        return True


def held() -> Running:
    """One model, whose load waits for the test."""
    running = Running(served("a"))
    running.loader.held["a"] = threading.Event()
    return running


def refusing(_model: Any) -> Choices:
    raise InvalidRequest("No.", "messages")


def unfinished(_model: Any) -> Choices:
    return Choices([job("a")], [SHAPE], 1, lambda one: one)


def claim(running: Running, begin: Any = unfinished, deadline_s: float = LATER_S, caller: Caller = NOBODY) -> Claim:
    return Claim(running.ask("a"), begin, caller, deadline_s)


def test_pings_are_sent_until_the_model_is_there_and_then_its_answer() -> None:
    with held() as running:
        one = claim(running, refusing)
        blocks = stream(one, False, ping_every_s=0.0)
        assert [next(blocks) for _ in range(3)] == [b"", b": ping\n", b": ping\n"]
        running.loader.held["a"].set()
        rest = b"".join(blocks)
        assert b'"status":400' in rest and rest.count(b"data: ") == 1
        one.end()
        assert running.place("a").uses == 0


def test_the_deadline_ends_the_wait() -> None:
    with held() as running:
        late = claim(running, deadline_s=time.monotonic() - 1)
        assert b'"status":504' in b"".join(stream(late, False))
        with pytest.raises(DeadlineExceeded):
            list(late.awaited())
        late.end()
        assert running.models.waiting == 0


def test_a_caller_who_goes_ends_the_wait() -> None:
    with held() as running:
        gone = claim(running, caller=Gone({}, 1.0))
        assert b"".join(stream(gone, False)) == b""
        with pytest.raises(CallerGone):
            list(gone.awaited())


def test_what_is_wrong_with_a_request_is_raised_before_the_stream_if_the_model_is_there() -> None:
    with Running(served("a")) as running:
        running.touch("a")
        one = claim(running, refusing)
        with pytest.raises(InvalidRequest):
            one.choices(10)
        one.end()


def test_the_end_cancels_the_choices_and_lets_the_model_go() -> None:
    with Running(served("a")) as running:
        one = claim(running)
        choices = one.choices(10)
        assert choices is not None and running.place("a").uses == 1
        one.end()
        assert choices.jobs[0].cancelled and running.place("a").uses == 0


def test_a_silent_call_gives_up_before_its_caller_does() -> None:
    with held() as running:
        with pytest.raises(Overloaded), model_in_silence(running.ask("a"), time.monotonic()):
            raise AssertionError
        assert running.models.waiting == 0
        running.loader.held["a"].set()
        use = running.ask("a")
        assert has(use) == "a"
        with model_in_silence(use, LATER_S) as model:
            assert str(model) == "a"
        assert running.place("a").uses == 0
