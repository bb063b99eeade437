"""What schemas cost, and that answers satisfy them: hostile and generated ones, walked token by token at random."""

import json
import random
import resource
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest

from functions.inference.engine.decoder import Decoder, EngineLimits
from functions.inference.engine.grammar_watch import GRACE_S, STEP_SHARE, TOKEN_SHARE, GrammarWatch
from functions.inference.engine.jobs import Failed, Job, Sampling
from functions.inference.errors import TooCostly, UnsupportedSchema
from functions.inference.grammar.grammar import json_grammar
from functions.inference.llama.backend import LlamaBackend
from functions.inference.llama.runtime import LoadOptions, load_model, start_library
from tests.rounds import rounds
from tests.slowness import within
from tests.unit.inference.schemas import HOSTILE, generated

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

MODEL = Path(__file__).parents[3] / "model" / "demo-model-q8_0.gguf"
MOST_TOKENS = 60
MOST_COMPILATION_S = 0.15
MOST_REFUSAL_S = 0.1
MOST_CHECK_S = 0.05
TRIES = 4
"""Other processes slow single calls, also in CPU time. What is dear by itself is dear each time."""
LONGEST_TOKEN_S = 0.010
"""A token whose grammar passes llguidance's limits takes this long at most, and is the last one."""


class Walk(NamedTuple):
    spent_s: float
    tokens: int
    text: str | None
    """None unless it ended."""
    too_costly: bool
    compiled_s: float
    checked_s: float = 0.0

    def cheap(self, step_s: float) -> bool:
        allowed_s = STEP_SHARE * step_s * self.tokens + GRACE_S + (1 + 1 / TOKEN_SHARE) * LONGEST_TOKEN_S
        return (
            self.spent_s <= allowed_s
            and within(self.compiled_s, MOST_COMPILATION_S)
            and within(self.checked_s, MOST_CHECK_S)
        )


@pytest.fixture(scope="module")
def backend() -> LlamaBackend:
    start_library()
    handle = load_model(MODEL, LoadOptions())
    return LlamaBackend(handle, sequences=2, context_tokens=512, batch_tokens=64, threads=1)


@pytest.fixture(scope="module")
def step_s(backend: LlamaBackend) -> float:
    """CPU seconds for a token of two callers at once without a schema, at the fastest of five times."""
    took = []
    for _ in range(5):
        decoder = Decoder(backend, EngineLimits(slots=2), time.monotonic)
        for first in (5, 6):
            decoder.occupy(Job((first, 7, 8), 200, Sampling(temperature=1.0, seed=1, ignore_eos=True)))
        began_s = time.thread_time()
        while decoder.step():
            pass
        took.append((time.thread_time() - began_s) / 200)
    return min(took)


def walk(backend: LlamaBackend, schema: Any, step_s: float, seed: int) -> Walk:
    """An answer by a model that always has to be told all allowed tokens. Raises UnsupportedSchema (refused)."""
    began_s = time.thread_time()
    matcher = backend.grammars.matcher(json_grammar(schema, "response_format"))
    compiled_s = time.thread_time() - began_s
    watch, rng, spent_s, excess_s, text = GrammarWatch(), random.Random(seed), 0.0, 0.0, b""
    watch.decoded(step_s / 2)  # the rest of a token's time is not llama.cpp's
    for tokens in range(MOST_TOKENS):
        began_s = time.thread_time()
        try:
            allowed = matcher.allowed()
            took_s = time.thread_time() - began_s
        except TooCostly:
            return Walk(spent_s + time.thread_time() - began_s, tokens, None, True, compiled_s)
        token = choose(rng, backend, [int(one) for one in allowed])
        if backend.is_end(token):
            began_s = time.thread_time()
            met = matcher.check is None or matcher.check.fault(text.decode()) is None
            checked_s = time.thread_time() - began_s
            return Walk(spent_s, tokens, text.decode() if met else None, False, compiled_s, checked_s)
        began_s = time.thread_time()
        matcher.accept(token)
        took_s += time.thread_time() - began_s
        spent_s += took_s
        text += backend.piece(token)
        excess_s = watch.excess(excess_s, took_s)
        if excess_s > watch.grace_s:
            return Walk(spent_s, tokens, None, True, compiled_s)
    return Walk(spent_s, MOST_TOKENS, None, False, compiled_s)


def number(text: str) -> Decimal:
    """Exact, because 0.3 is a multiple of 0.1. Exponents without a limit occur where a schema sets no bounds."""
    return Decimal(text) if len(text.lower().partition("e")[2]) < 6 else Decimal(0)


def choose(rng: random.Random, backend: LlamaBackend, allowed: list[int]) -> int:
    """Any token, but often one that ends something."""
    assert allowed, "the grammar has no way on"
    ends = [token for token in allowed if backend.is_end(token) or backend.piece(token) in (b'"', b"}", b"]", b'"}')]
    return rng.choice(ends if ends and rng.random() < 0.4 else allowed)


def check(backend: LlamaBackend, step_s: float, schema: Any, seed: int) -> Walk | None:
    """None for a refused schema."""
    for last in (False,) * (TRIES - 1) + (True,):
        began_s = time.thread_time()
        try:
            done = walk(backend, schema, step_s, seed)
        except UnsupportedSchema as refused:
            took_s = time.thread_time() - began_s
            assert "The schema at #" in str(refused)
            assert refused.param == "response_format"
            assert within(took_s, MOST_REFUSAL_S) or not last
            if took_s < MOST_REFUSAL_S:
                return None
            continue
        assert done.cheap(step_s) or not last, done
        if done.cheap(step_s):
            break
    if done.text is not None:
        exact = json.loads(json.dumps(schema), parse_float=number)
        jsonschema.Draft202012Validator(exact).validate(json.loads(done.text, parse_float=number))
    return done


class SlowToAccept:
    param, check = "response_format", None

    def forced(self) -> list[int]:
        return []

    def allows(self, token: int) -> bool:
        return True

    def accept(self, token: int) -> None:
        until = time.thread_time() + 0.005
        while time.thread_time() < until:
            pass


def test_what_a_grammar_takes_to_accept_a_token_counts_too(backend: LlamaBackend) -> None:
    decoder = Decoder(backend, EngineLimits(slots=1), time.monotonic)
    job = Job((5, 7, 9), 300, Sampling(ignore_eos=True, matcher=SlowToAccept()))  # type: ignore[arg-type]
    decoder.occupy(job)
    while decoder.step():
        pass
    assert job.completion_tokens < 60
    *_, last = [job.events.get() for _ in range(job.events.qsize())]
    assert isinstance(last, Failed) and isinstance(last.error, TooCostly)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_is_refused_or_cheap(backend: LlamaBackend, step_s: float, name: str) -> None:
    for seed in range(rounds(10, 2)):
        check(backend, step_s, HOSTILE[name], seed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_generated_schema_is_refused_or_cheap_and_answers_satisfy_it(backend: LlamaBackend, step_s: float) -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    accepted = []
    for seed in range(rounds(10_000, 400)):
        schema = generated(seed)
        try:
            accepted.append(check(backend, step_s, schema, seed))
        except Exception as fault:
            raise AssertionError(f"seed {seed}: {json.dumps(schema)}") from fault
    walks = [done for done in accepted if done is not None]
    assert len(walks) > len(accepted) / 4
    assert sum(done.too_costly for done in walks) <= len(walks) / 100
    assert sum(done.text is not None for done in walks) > len(walks) / 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 150 << 10
