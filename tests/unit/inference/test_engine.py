"""The engine, stepped by hand with a scripted model."""

import threading

import pytest

from functions.inference.engine.batch import SCORED_ROWS
from functions.inference.engine.engine import Engine, EngineLimits
from functions.inference.engine.jobs import Delta, Failed, Finished, Job, Sampling, Started
from functions.inference.errors import (
    ContextTooLong,
    DeadlineExceeded,
    Draining,
    GenerationFailed,
    InferenceError,
    InvalidRequest,
    Overloaded,
    TooCostly,
)
from tests.unit.inference.fake_backend import FakeBackend, FakeMatcher, job

SCRIPTS = ["ab", "one:hello world", "two:xyz", "stop:say END now"]


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def engine(backend: FakeBackend | None = None, clock: Clock | None = None, **limits: int | float) -> Engine:
    backend = backend or FakeBackend(SCRIPTS)
    chosen = {"slots": backend.sequences, "batch_tokens": 32, "queue_places": 8} | limits
    return Engine(backend, EngineLimits(**chosen), clock or Clock())  # type: ignore[arg-type]


def finish(engine: Engine, rounds: int = 500) -> None:
    for _ in range(rounds):
        if not engine.step():
            return
    raise AssertionError("the engine never came to rest")


def events(job: Job) -> list[object]:
    found: list[object] = []
    while (event := job.next_event(0.0)) is not None:
        found.append(event)
    return found


def outcome(job: Job) -> tuple[str, str, int]:
    found = events(job)
    last = found[-1]
    assert isinstance(last, Finished)
    return "".join(e.text for e in found if isinstance(e, Delta)), last.reason, last.completion_tokens


def failure(job: Job) -> InferenceError:
    last = events(job)[-1]
    assert isinstance(last, Failed)
    return last.error


def test_a_job_runs_until_the_model_ends_it() -> None:
    e = engine()
    one = e.submit(job("one:"))
    finish(e)
    assert outcome(one) == ("hello world", "stop", 11)


def test_an_answer_cut_by_max_tokens_ends_with_reason_length() -> None:
    e = engine()
    one = e.submit(job("one:", max_tokens=5))
    finish(e)
    assert outcome(one) == ("hello", "length", 5)


def test_max_tokens_is_limited_to_the_rest_of_the_context() -> None:
    e = engine(FakeBackend(["abc" + "x" * 100], context_tokens=10))
    one = e.submit(job("abc", max_tokens=999))
    finish(e)
    assert outcome(one) == ("x" * 7, "length", 7)


def test_a_prompt_that_fills_the_context_is_refused() -> None:
    e = engine(FakeBackend(context_tokens=4))
    with pytest.raises(ContextTooLong):
        e.submit(job("abcd"))


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        engine().submit(job(""))


def test_a_stop_string_ends_the_answer_and_is_not_in_it() -> None:
    e = engine()
    one = e.submit(job("stop:", stops=("END",)))
    finish(e)
    assert outcome(one)[:2] == ("say ", "stop")


def test_logprobs_of_tokens_cut_off_by_a_stop_are_dropped() -> None:
    e = engine()
    one = e.submit(job("stop:", stops=("END",), logprobs=0))
    finish(e)
    pieces = [entry.piece for event in events(one) if isinstance(event, Delta) for entry in event.logprobs]
    assert b"".join(pieces) == b"say "


def test_jobs_share_a_batch() -> None:
    backend = FakeBackend(SCRIPTS)
    e = engine(backend)
    one, two = e.submit(job("one:")), e.submit(job("two:"))
    finish(e)
    assert (outcome(one)[0], outcome(two)[0]) == ("hello world", "xyz")
    assert any(len({row.seq for row in batch}) == 2 for batch in backend.batches)


def test_more_jobs_than_slots_all_end() -> None:
    e = engine(FakeBackend(SCRIPTS, sequences=2), queue_places=40)
    jobs = [e.submit(job("one:")) for _ in range(9)]
    finish(e)
    assert [outcome(j)[0] for j in jobs] == ["hello world"] * 9


def test_a_long_prompt_does_not_stall_a_running_stream() -> None:
    backend = FakeBackend(["one:" + "h" * 40, "p" * 100 + "q"], context_tokens=128)
    e = engine(backend, batch_tokens=16)
    running = e.submit(job("one:", max_tokens=30))
    e.step()
    e.submit(job("p" * 100))
    before = running.completion_tokens
    for _ in range(5):
        e.step()
    assert running.completion_tokens == before + 5
    assert all(len(batch) <= 16 for batch in backend.batches)


def test_a_shared_prefix_is_not_decoded_again() -> None:
    backend = FakeBackend(["a long shared prefix:1+", "a long shared prefix:2+"])
    e = engine(backend)
    e.submit(job("a long shared prefix:1"))
    finish(e)
    two = e.submit(job("a long shared prefix:2"))
    backend.batches.clear()
    finish(e)
    assert two.cached_tokens == len("a long shared prefix:")
    assert sum(map(len, backend.batches)) == 2  # the one token that differs, and the one generated


def test_the_common_prefix_of_concurrent_prompts_is_computed_once() -> None:
    prefix = "one system prompt for all:"
    backend = FakeBackend([f"{prefix}{n}{n}{n}" for n in range(4)])
    e = engine(backend)
    jobs = [e.submit(job(f"{prefix}{n}", account=str(n))) for n in range(4)]
    finish(e)
    assert [outcome(j)[0] for j in jobs] == ["00", "11", "22", "33"]
    assert [j.cached_tokens for j in jobs] == [0, *[len(prefix)] * 3]
    decoded = [row for batch in backend.batches for row in batch if row.position < len(prefix)]
    assert len(decoded) == len(prefix)


def test_jobs_that_wait_for_a_shared_prefix_go_on_when_its_job_is_cancelled() -> None:
    prefix = "a system prompt of some length, for all of them:"
    backend = FakeBackend([f"{prefix}{n}{n}" for n in range(3)])
    e = engine(backend, batch_tokens=8)
    jobs = [e.submit(job(f"{prefix}{n}", account=str(n))) for n in range(3)]
    e.step()
    jobs[0].cancel()
    finish(e)
    assert [outcome(j)[0] for j in jobs[1:]] == ["1", "2"]


def test_the_start_event_has_the_number_of_cached_tokens() -> None:
    e = engine()
    one = e.submit(job("one:"))
    finish(e)
    assert events(one)[0] == Started(0)


def test_a_cancelled_job_frees_its_slot_within_one_step() -> None:
    backend = FakeBackend(["one:" + "h" * 50])
    e = engine(backend)
    one = e.submit(job("one:"))
    e.step()
    e.step()
    one.cancel()
    e.step()
    assert e.stats().running == 0
    assert backend.open_samplers == 0
    assert isinstance(events(one)[-1], Finished)


def test_cancellation_during_the_prefill_frees_the_slot() -> None:
    e = engine(FakeBackend(["p" * 60]), batch_tokens=8)
    one = e.submit(job("p" * 50))
    e.step()
    assert one.completion_tokens == 0
    one.cancel()
    e.step()
    assert e.stats().running == 0


def test_a_job_cancelled_in_the_queue_never_runs() -> None:
    backend = FakeBackend(SCRIPTS, sequences=1)
    e = engine(backend)
    e.submit(job("one:"))
    waiting = e.submit(job("two:"))
    e.step()
    waiting.cancel()
    finish(e)
    assert events(waiting) == [Finished("cancelled", 0)]
    assert not any(row.token == ord("t") for batch in backend.batches for row in batch)


def test_a_full_queue_refuses_with_retry_after() -> None:
    e = engine(queue_places=2)
    e.submit(job("one:", account="a"))
    e.submit(job("one:", account="b"))
    with pytest.raises(Overloaded) as refused:
        e.submit(job("one:", account="c"))
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s >= 1


def test_retry_after_follows_the_measured_time_of_jobs() -> None:
    clock = Clock()
    e = engine(FakeBackend(SCRIPTS, sequences=1), clock, queue_places=2)
    quick = e.stats().retry_after_s
    for _ in range(10):
        e.submit(job("two:"))
        e.step()
        clock.now_s += 25
        finish(e)
    assert e.stats().retry_after_s > quick + 10


def test_a_job_that_waits_too_long_is_refused_as_overload() -> None:
    clock = Clock()
    e = engine(FakeBackend(SCRIPTS, sequences=1), clock, queue_wait_s=5)
    running, waiting = e.submit(job("one:")), e.submit(job("two:"))
    e.step()
    clock.now_s += 6
    finish(e)
    assert isinstance(failure(waiting), Overloaded)
    assert outcome(running)[0] == "hello world"


def test_a_free_slot_is_taken_however_late_the_engine_sees_the_job() -> None:
    clock = Clock()
    e = engine(clock=clock, queue_wait_s=0.001)
    one = e.submit(job("one:"))
    clock.now_s += 1
    finish(e)
    assert outcome(one) == ("hello world", "stop", 11)


def test_a_deadline_ends_waiting_and_running_jobs() -> None:
    clock = Clock()
    e = engine(FakeBackend(SCRIPTS, sequences=1), clock)
    running = e.submit(job("one:", deadline_s=101.0))
    waiting = e.submit(job("two:", deadline_s=101.0))
    e.step()
    clock.now_s = 102.0
    finish(e)
    assert isinstance(failure(running), DeadlineExceeded)
    assert isinstance(failure(waiting), DeadlineExceeded)


def test_one_accounts_burst_does_not_starve_another() -> None:
    e = engine(FakeBackend(SCRIPTS, sequences=2), queue_places=60)
    burst = [e.submit(job("one:", account="a")) for _ in range(20)]
    single = e.submit(job("two:", account="b"))
    rounds = 0
    seen: list[object] = []
    while not (seen and isinstance(seen[-1], Finished)):
        e.step()
        seen += events(single)
        rounds += 1
    done = sum(isinstance(found[-1], Finished) for found in map(events, burst) if found)
    assert done <= 2  # only the jobs that held slots when it came
    assert rounds < 30


def test_a_failed_decode_ends_one_job_and_the_others_go_on() -> None:
    clock = Clock()
    backend = FakeBackend(SCRIPTS)
    e = engine(backend, clock)
    one = e.submit(job("one:"))
    e.step()
    clock.now_s += 1
    two = e.submit(job("two:"))
    backend.outcomes = [-3]
    finish(e)
    assert isinstance(failure(two), GenerationFailed)
    assert outcome(one)[0] == "hello world"
    assert backend.open_samplers == 0


def test_when_the_cache_is_full_idle_entries_are_dropped_first() -> None:
    backend = FakeBackend(SCRIPTS)
    e = engine(backend)
    e.submit(job("two:"))
    finish(e)
    one = e.submit(job("one:"))
    backend.outcomes = [1]
    finish(e)
    assert outcome(one)[0] == "hello world"
    assert [seq for seq, held in backend.state.items() if held] == [1]


def test_when_the_cache_is_full_of_running_jobs_the_newest_ends() -> None:
    backend = FakeBackend(SCRIPTS)
    e = engine(backend)
    one = e.submit(job("one:"))
    backend.outcomes = [1]
    finish(e)
    assert isinstance(failure(one), GenerationFailed)


def test_a_grammar_that_allows_no_token_fails_only_its_job() -> None:
    e = engine(FakeBackend(SCRIPTS, dead_ends=True))
    one = e.submit(job("one:"))
    finish(e)
    assert isinstance(failure(one), GenerationFailed)


def follower(takes_s: float, length: int = 2000) -> tuple[Engine, Job, Job]:
    """Two answers of `length` tokens, the first by a grammar that takes `takes_s` a token."""
    scripts = ["one:" + "x" * length, "two:" + "y" * length]
    e = engine(FakeBackend(scripts, context_tokens=length + 8))
    matched = job("one:", max_tokens=length, sampling=Sampling(matcher=FakeMatcher(takes_s)))
    return e, e.submit(matched), e.submit(job("two:", max_tokens=length))


def test_a_grammar_that_slows_the_others_ends_and_the_others_go_on() -> None:
    e, costly, other = follower(takes_s=0.002)
    finish(e, 3000)
    assert isinstance(failure(costly), TooCostly)
    assert costly.completion_tokens < 100
    assert outcome(other)[0] == "y" * 2000


def test_a_cheap_grammar_never_ends_an_answer() -> None:
    e, cheap, _ = follower(takes_s=0.00004)
    finish(e, 3000)
    assert outcome(cheap)[0] == "x" * 2000


def test_draining_refuses_new_jobs_and_lets_running_ones_end() -> None:
    e = engine(FakeBackend(SCRIPTS, sequences=1))
    one, two = e.submit(job("one:")), e.submit(job("two:"))
    e.begin_drain()
    with pytest.raises(Draining):
        e.submit(job("two:"))
    finish(e)
    assert outcome(one)[0] == "hello world"
    assert outcome(two)[0] == "xyz"


def test_a_thread_drains_and_stops() -> None:
    e = Engine(FakeBackend(SCRIPTS), EngineLimits(slots=4))
    e.start()
    one = e.submit(job("one:"))
    assert e.drain(10.0)
    assert outcome(one)[0] == "hello world"
    assert not e.alive


def test_jobs_left_after_the_drain_fail_with_a_message() -> None:
    e = Engine(FakeBackend(["one:" + "h" * 10**6], context_tokens=10**6), EngineLimits(slots=4))
    e.start()
    endless = e.submit(job("one:", max_tokens=10**6))
    assert not e.drain(0.05)
    assert isinstance(failure(endless), Draining)


def test_a_bug_in_the_loop_fails_every_job_and_is_reported() -> None:
    class Broken(FakeBackend):
        def decode(self, rows: object) -> int:
            raise ZeroDivisionError

    crashes: list[BaseException] = []
    e = Engine(Broken(SCRIPTS), EngineLimits(slots=4), on_crash=crashes.append)
    one = e.submit(job("one:"))
    with pytest.raises(ZeroDivisionError):
        e._run()
    assert isinstance(failure(one), GenerationFailed)
    assert isinstance(crashes[0], ZeroDivisionError)
    with pytest.raises(Draining):
        e.submit(job("two:"))


def test_stats_and_submissions_from_many_threads_do_not_disturb_the_loop() -> None:
    e = Engine(FakeBackend(SCRIPTS), EngineLimits(slots=4, queue_places=10_000))
    e.start()
    stop = threading.Event()
    seen: list[int] = []

    def watch() -> None:
        while not stop.is_set():
            seen.append(e.stats().running)

    watchers = [threading.Thread(target=watch) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    jobs = [e.submit(job("one:", account=str(n))) for n in range(300)]
    assert e.drain(60.0)
    stop.set()
    for watcher in watchers:
        watcher.join()
    assert [outcome(j)[0] for j in jobs] == ["hello world"] * 300
    assert seen


def scored(done: Job) -> list[tuple[str, float | None]]:
    found = [entry for event in events(done) if isinstance(event, Delta) for entry in event.logprobs]
    return [(entry.piece.decode(), entry.logprob) for entry in found]


@pytest.mark.parametrize("prompt", ["a", "abc", "x" * 16, "y" * 17, "héé" * 20])
def test_a_score_has_every_token_of_the_prompt_once_each_from_the_row_before_it(prompt: str) -> None:
    backend = FakeBackend(SCRIPTS, context_tokens=64)
    running = engine(backend)
    done = running.submit(job(prompt, 0, scores=True, logprobs=0))
    finish(running)
    assert scored(done) == [(piece, None if place == 0 else -float(place)) for place, piece in enumerate(prompt)]
    assert all(sum(row.wants_logits for row in batch) <= SCORED_ROWS for batch in backend.batches)
    assert backend.open_samplers == 0


def test_a_score_may_fill_the_context_and_an_answer_after_it_may_not() -> None:
    running = engine(FakeBackend(context_tokens=16))
    done = running.submit(job("x" * 16, 0, scores=True, logprobs=0))
    finish(running)
    assert outcome(done) == ("x" * 16, "length", 0)
    with pytest.raises(ContextTooLong):
        running.submit(job("x" * 16, 1))
    with pytest.raises(ContextTooLong):
        running.submit(job("x" * 17, 0, scores=True, logprobs=0))


def test_the_answer_follows_its_scored_prompt() -> None:
    running = engine()
    done = running.submit(job("one:", 100, scores=True, logprobs=0))
    finish(running)
    assert outcome(done) == ("one:hello world", "stop", 11)


def test_a_scored_prompt_is_decoded_anew_although_its_start_is_in_memory() -> None:
    backend = FakeBackend(["one:hello world" * 2])
    running = engine(backend)
    running.submit(job("one:hello world", 4))
    finish(running)
    done = running.submit(job("one:hello world", 0, scores=True, logprobs=0))
    finish(running)
    assert "".join(piece for piece, _ in scored(done)) == "one:hello world"
    assert done.cached_tokens == 0
    again = running.submit(job("one:hello world", 4))
    finish(running)
    assert again.cached_tokens > 8, "what a score has decoded serves others"


def test_a_score_beside_a_running_answer_takes_few_rows_and_neither_waits_for_the_other() -> None:
    backend = FakeBackend(["one:" + "x" * 40], context_tokens=200)
    running = engine(backend, batch_tokens=128)
    first = running.submit(job("one:", 40))
    while not first.completion_tokens:
        running.step()
    scores = [running.submit(job("s" * 100, 0, scores=True, logprobs=0)) for _ in range(2)]
    before, at = len(backend.batches), first.completion_tokens
    while not any(isinstance(event, Finished) for event in events(scores[0])):
        running.step()
    assert first.completion_tokens - at >= len(backend.batches) - before - 1, "a token of the answer in every batch"
    assert all(sum(row.wants_logits for row in batch) <= SCORED_ROWS + 1 for batch in backend.batches)
    finish(running)


def test_a_score_after_a_failed_batch_sends_nothing_twice_and_a_cancelled_one_ends() -> None:
    backend = FakeBackend(SCRIPTS)
    backend.can_share_prefixes = False
    clock = Clock()
    running = engine(backend, clock)
    other = running.submit(job("one:", 50))
    running.step()
    done = running.submit(job("s" * 40, 0, scores=True, logprobs=0))
    running.step()
    clock.now_s += 1
    newest = running.submit(job("two:", 50))
    running.step()
    backend.outcomes = [2]
    backend.forget = lambda seq, at: backend.state.__setitem__(seq, []) or at == 0  # type: ignore[method-assign, func-returns-value]
    finish(running)
    assert [place for _, place in scored(done)] == [None, *(-float(place) for place in range(1, 40))]
    assert isinstance(failure(newest), GenerationFailed) and outcome(other)[1] == "stop"
    left = running.submit(job("s" * 40, 0, scores=True, logprobs=0))
    running.step()
    left.cancel()
    finish(running)
    assert outcome(left)[1] == "cancelled"


def test_an_answer_that_is_complete_ends_with_its_last_token() -> None:
    tested = engine()
    ended = job("one:")
    seen: list[str] = []
    ended.complete = lambda text: seen.append(text) or "".join(seen).endswith("hel")  # type: ignore[func-returns-value]
    tested.submit(ended)
    finish(tested)
    assert outcome(ended) == ("hel", "stop", 3) and seen == ["h", "e", "l"]


def test_rows_of_batches_never_take_the_last_slot_and_wait_longer_than_requests() -> None:
    clock = Clock()
    e = engine(clock=clock, queue_wait_s=30.0)
    rows = [e.submit(job("one:", account="a", low=True)) for _ in range(4)]
    e.step()
    assert sum(any(isinstance(event, Started) for event in events(row)) for row in rows) == 3
    clock.now_s += 31
    asked = e.submit(job("two:", account="b"))
    e.step()
    assert any(isinstance(event, Started) for event in events(asked)), "the slot that was kept for it"
    finish(e)
    assert all(isinstance(events(row)[-1], Finished) for row in rows)


def test_one_slot_alone_takes_rows_when_nothing_else_waits() -> None:
    e = engine(FakeBackend(SCRIPTS, sequences=1))
    row, asked = e.submit(job("one:", low=True)), e.submit(job("two:"))
    finish(e)
    assert (outcome(asked), outcome(row)) == (("xyz", "stop", 3), ("hello world", "stop", 11))


def test_a_first_token_beside_a_full_batch_is_one_piece_of_a_prompt_later(capsys: pytest.CaptureFixture[str]) -> None:
    backend = FakeBackend(["two:xyz"], context_tokens=400)
    e = engine(backend)
    for number in range(4):
        e.submit(job(f"{number}" * 300, max_tokens=1, account="a", low=True))
    for _ in range(3):
        e.step()
    asked, before = e.submit(job("two:", account="b")), len(backend.batches)
    seen: list[object] = []
    while not any(isinstance(one, Delta | Finished) for one in seen) and e.step():
        seen += events(asked)
    steps = [len(batch) for batch in backend.batches[before:]]
    with capsys.disabled():
        print(f"\n  beside a full batch: a first token after {len(steps)} call, of {steps} rows")
    assert len(steps) == 1  # submitted during a call, it has to wait for that, too
    assert steps[0] <= 32
