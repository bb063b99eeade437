"""Long prompts on a slow machine: the connection is kept alive, and the deadline knows the speed."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from functions.inference.engine.backend import Row
from functions.inference.engine.engine import Engine, EngineLimits
from functions.inference.engine.prefill_budget import JUDGED_CALLS
from functions.inference.errors import PromptTooSlow
from functions.inference.web import answer
from functions.inference.web.choices import Choices
from tests.unit.inference.fake_backend import FakeBackend, job
from tests.unit.inference.test_engine import Clock, engine, failure, finish, outcome
from tests.unit.inference.test_parts import NOBODY, SHAPE

LONG = "p" * 1000


@dataclass
class SlowBackend(FakeBackend):
    """Each token takes some seconds of the engine's clock. `speeds`: of the first calls, if they differ."""

    context_tokens: int = 2000
    clock: Clock = field(default_factory=Clock)
    token_s: float = 1.0
    speeds: list[float] = field(default_factory=list)

    def decode(self, rows: Sequence[Row]) -> int:
        self.clock.now_s += len(rows) * (self.speeds.pop(0) if self.speeds else self.token_s)
        return super().decode(rows)


def slow_engine(backend: SlowBackend) -> Engine:
    return engine(backend, backend.clock, step_target_ms=8000)


def test_a_prompt_that_cannot_be_read_in_time_is_refused_after_its_first_calls() -> None:
    backend = SlowBackend([LONG + "!"])
    e = slow_engine(backend)
    one = e.submit(job(LONG, deadline_s=backend.clock.now_s + 600))
    finish(e)
    error = failure(one)
    assert isinstance(error, PromptTooSlow)
    assert str(error).startswith("Reading the prompt of 1000 tokens would take 872 s more")
    assert "472 s left" in str(error)
    assert len(backend.batches) == JUDGED_CALLS


def test_a_prompt_that_can_be_read_in_time_is() -> None:
    backend = SlowBackend([LONG + "!"])
    e = slow_engine(backend)
    one = e.submit(job(LONG, deadline_s=backend.clock.now_s + 1100))
    finish(e)
    assert outcome(one)[0] == "!"


def test_a_slow_beginning_is_no_reason_to_refuse() -> None:
    backend = SlowBackend([LONG + "!"], token_s=0.5, speeds=[10.0, 5.0, 2.0])
    e = slow_engine(backend)
    one = e.submit(job(LONG, deadline_s=backend.clock.now_s + 900))
    finish(e)
    assert outcome(one)[0] == "!"


def test_what_is_in_memory_already_is_not_counted() -> None:
    backend = SlowBackend([LONG + "!", LONG + "abcdefgh" * 20 + "!"])
    e = slow_engine(backend)
    e.submit(job(LONG))
    finish(e)
    again = e.submit(job(LONG + "abcdefgh" * 20, deadline_s=backend.clock.now_s + 300))
    finish(e)
    assert outcome(again)[0] == "!"


def test_refusing_one_leaves_the_others() -> None:
    backend = SlowBackend([LONG + "!", "one:hello"], token_s=0.1)
    e = slow_engine(backend)
    other = e.submit(job("one:"))
    late = e.submit(job(LONG, deadline_s=backend.clock.now_s + 50))
    finish(e)
    assert isinstance(failure(late), PromptTooSlow)
    assert outcome(other)[0] == "hello"


class BlockedBackend(FakeBackend):
    """A decode call that lasts until the test ends it."""

    def __init__(self, scripts: Sequence[str]) -> None:
        super().__init__(scripts)
        self.go_on = threading.Event()

    def decode(self, rows: Sequence[Row]) -> int:
        assert self.go_on.wait(10)
        return super().decode(rows)


def test_pings_keep_the_connection_alive_while_a_prompt_is_read() -> None:
    backend = BlockedBackend(["one:hi"])
    e = Engine(backend, EngineLimits(slots=1, queue_places=4))
    e.start()
    submit: Callable[..., object] = e.submit
    blocks = answer.stream(Choices([job("one:")], [SHAPE], 1, submit), NOBODY, False, ping_every_s=0.0)
    assert [next(blocks) for _ in range(4)] == [b"", *[b": ping\n"] * 3]
    backend.go_on.set()
    rest = b"".join(blocks)
    assert b'"content":"h' in rest and rest.endswith(b"data: [DONE]\n\n")
    e.close()
