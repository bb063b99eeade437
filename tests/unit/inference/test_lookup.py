"""Answers whose tokens are guessed are the same as without (ADR 118)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.inference.engine.engine import Engine
from functions.inference.engine.jobs import Delta, Failed, Job, Sampling, TokenLogprob
from functions.inference.engine.lookup import MATCH_TOKENS, Lookup
from functions.inference.engine.prefill_budget import FEWEST_TOKENS
from functions.inference.llama.backend import LlamaBackend
from functions.inference.llama.runtime import LoadOptions, free_model, load_model, start_library
from tests.unit.inference.fake_backend import FakeBackend, FakeMatcher, job
from tests.unit.inference.test_engine import engine, events, finish, outcome

PHRASES = ["the cat sat on the mat, ", "return self.value + 1\n", "no. ", "ab" * 9, "é"]
TEXTS = st.lists(st.sampled_from(PHRASES), max_size=9).map("".join)
COPY = "copy:the cat sat on the mat, "
NEAR_TIE = 0.5
"""Of log probabilities. The kernels that compute 16 rows add in another order than those for one."""


def rows_of(backend: FakeBackend) -> list[int]:
    return [len(batch) for batch in backend.batches]


def copying(guess: bool = True, can_forget_ends: bool = True, **more: Any) -> tuple[FakeBackend, Engine, Job]:
    """An engine that has read the prompt of a job which repeats it three times."""
    backend = FakeBackend([COPY + COPY * 3], context_tokens=256, can_forget_ends=can_forget_ends)
    running = engine(backend, guess=guess)
    copy = running.submit(job(COPY, **more))
    while not copy.completion_tokens:
        running.step()
    return backend, running, copy


@given(
    st.lists(st.tuples(TEXTS, TEXTS, st.integers(1, 200), st.integers(0, 30)), min_size=1, max_size=6),
    st.integers(1, 4),
    st.sampled_from([(), ("mat, no",), ("1\n",), ("a",)]),
)
def test_answers_counts_and_log_probabilities_are_the_same(
    asked: list[tuple[str, str, int, int]], slots: int, stops: tuple[str, ...]
) -> None:
    scripts = [f"{n}:{prompt}|{answer}" for n, (prompt, answer, _, _) in enumerate(asked)]
    found = []
    for guess in (False, True):
        backend = FakeBackend(scripts, context_tokens=512, sequences=slots)
        running = engine(backend, guess=guess, queue_places=40)
        jobs = []
        for n, (prompt, _, most, steps_before) in enumerate(asked):
            jobs.append(running.submit(job(f"{n}:{prompt}|", most, stops=stops, logprobs=0)))
            for _ in range(steps_before):
                running.step()
        finish(running, 5000)
        assert all(backend.state[slot.seq] == slot.cache for slot in running._decoder._slots if slot.cache)
        assert max(rows_of(backend)) <= 32 and backend.open_samplers == 0
        told = [events(done) for done in jobs]
        deltas = [[event for event in one if isinstance(event, Delta)] for one in told]
        counts = [done.completion_tokens for done in jobs]
        found.append(([one[1:] for one in told], deltas, counts, [done.stopped_by for done in jobs]))
    assert found[0] == found[1]


def test_an_answer_that_repeats_its_prompt_takes_few_calls() -> None:
    backend, running, copy = copying()
    finish(running)
    assert outcome(copy) == (COPY * 3, "stop", len(COPY) * 3)
    assert len(backend.batches) < len(COPY) * 3 / 3 and FEWEST_TOKENS in rows_of(backend)


@pytest.mark.parametrize("room", range(30, 50))
def test_guesses_end_with_the_context(room: int) -> None:
    backend = FakeBackend([COPY + COPY * 9], context_tokens=len(COPY) + room)
    running = engine(backend)
    copy = running.submit(job(COPY, 500))
    finish(running)
    assert outcome(copy) == ((COPY * 9)[:room], "length", room)
    assert max(row.position for batch in backend.batches for row in batch) < len(COPY) + room - 1


@pytest.mark.parametrize("why", ["setting", "grammar", "recurrent"])
def test_nothing_is_guessed_where_it_is_off(why: str) -> None:
    sampling = Sampling(matcher=FakeMatcher(0.0) if why == "grammar" else None)
    backend, running, copy = copying(why != "setting", why != "recurrent", sampling=sampling)
    before = len(backend.batches)
    finish(running)
    assert outcome(copy)[0] == COPY * 3 and set(rows_of(backend)[before:]) == {1}


def test_an_answer_beside_another_is_not_guessed_and_a_new_one_ends_the_guessing() -> None:
    backend, running, copy = copying()
    while FEWEST_TOKENS not in rows_of(backend):
        running.step()
    running.submit(job("x" * 8, 4))
    for _ in range(3):
        running.step()
        assert sum(row.wants_logits for row in backend.batches[-1]) <= 2
    finish(running)
    assert outcome(copy)[0] == COPY * 3


def test_a_cancelled_answer_leaves_no_guessed_token_in_memory() -> None:
    backend, running, copy = copying()
    while FEWEST_TOKENS not in rows_of(backend):
        running.step()
    copy.cancel()
    finish(running)
    text, reason, counted = outcome(copy)
    assert reason == "cancelled" and counted == len(text) and (COPY * 3).startswith(text)
    again = running.submit(job(COPY + COPY))
    finish(running)
    assert outcome(again)[0] == COPY * 2


def test_a_failed_call_with_guessed_tokens_ends_one_job_and_its_slot_serves_again() -> None:
    backend, running, copy = copying()
    while FEWEST_TOKENS not in rows_of(backend):
        running.step()
    backend.outcomes = [2]
    finish(running)
    assert isinstance(events(copy)[-1], Failed)
    again = running.submit(job(COPY))
    finish(running)
    assert outcome(again) == (COPY * 3, "stop", len(COPY) * 3)


def test_a_short_period_is_guessed_beyond_the_end() -> None:
    known = [*range(100, 100 + MATCH_TOKENS), 1, 2, *range(100, 100 + MATCH_TOKENS)]
    assert Lookup().guess(known[:-1], known[-1], 20) == [*known[MATCH_TOKENS:], *known[MATCH_TOKENS:][:6]]
    assert Lookup().guess([7] * 30, 7, 5) == [7] * 5
    assert Lookup().guess([7] * 30, 8, 5) == [] == Lookup().guess([7] * MATCH_TOKENS, 7, 0) == Lookup().guess([], 7, 5)


@pytest.fixture(scope="module")
def demo() -> Iterator[LlamaBackend]:
    start_library()
    handle = load_model(Path("model/demo-model-q8_0.gguf"), LoadOptions())
    backend = LlamaBackend(handle, sequences=2, context_tokens=512, batch_tokens=64, threads=1)
    yield backend
    backend.close()
    free_model(handle)


def answer(backend: LlamaBackend, prompt: str, sampling: Sampling, guess: bool) -> tuple[list[TokenLogprob], int]:
    for seq in range(2):
        backend.forget(seq, 0)
    running = engine(backend, guess=guess)  # type: ignore[arg-type]
    asked = Job(tuple(backend.tokenize(prompt, frame=True)), 120, sampling, logprobs=2)
    running.submit(asked)
    finish(running)
    told = [each for event in events(asked) if isinstance(event, Delta) for each in event.logprobs]
    return told, running.stats().steps


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.3, seed=5, repeat_penalty=1.05)])
def test_a_real_models_answers_differ_at_near_ties_at_most(demo: LlamaBackend, sampling: Sampling) -> None:
    prompts = ["Count to 5. " * 9, "one two three four five six. " * 6, "Count from 1 to 30: 1, 2, 3, 4,", "ab " * 40]
    saved = 0
    for prompt in prompts:
        (plain, steps), (guessed, fewer) = (answer(demo, prompt, sampling, guess) for guess in (False, True))
        saved += steps - fewer
        same = next((n for n, (a, b) in enumerate(zip(plain, guessed, strict=False)) if a.token != b.token), None)
        for one, other in zip(plain[:same], guessed[:same], strict=False):
            assert one.logprob is not None and other.logprob == pytest.approx(one.logprob, abs=NEAR_TIE)
        if same is None:
            assert len(plain) == len(guessed)
        elif sampling.temperature == 0:
            (_, _, first), (_, _, second) = plain[same].top
            assert first - second < NEAR_TIE
    assert saved > 0
