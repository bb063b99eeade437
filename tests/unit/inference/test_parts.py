"""The small modules: prompts, templates, batches, rates, files, memory, answers."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from functions.inference.engine.batch import plan
from functions.inference.engine.jobs import Delta, Event, Failed, Finished, Job, Started
from functions.inference.engine.prefill_budget import FEWEST_TOKENS, PrefillBudget
from functions.inference.engine.service_rate import ServiceRate
from functions.inference.engine.slots import Slot
from functions.inference.errors import (
    ContextTooLong,
    DeadlineExceeded,
    InferenceError,
    InvalidRequest,
    ModelFileError,
    Overloaded,
)
from functions.inference.models.catalogue import DEFAULT_EMBEDDING_MODEL, catalogue, resolve
from functions.inference.models.chat_template import ChatTemplate
from functions.inference.models.loading import threads_for
from functions.inference.models.memory import available_bytes
from functions.inference.models.model_file import check_model_file, expected_sha256, recorded_hash_file
from functions.inference.openai.responses import ChatShape, ResponseHead
from functions.inference.settings import InferenceSettings
from functions.inference.web import answer, job_builder
from functions.inference.web.choices import ABREAST, CallerGone, Choices
from functions.inference.web.disconnect import Caller
from functions.inference.web.http_errors import TABLE, envelope, http_error, stream_envelope
from tests.unit.inference.fake_backend import job

NOBODY = Caller({}, 1.0)
SHAPE = ChatShape(ResponseHead("chatcmpl-1", 1, "demo"), False)


def test_a_template_cannot_reach_python() -> None:
    template = ChatTemplate("{{ messages.__class__.__mro__ }}{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(InvalidRequest):
        template.render([{"role": "user", "content": "x"}])


def test_an_error_raised_by_the_template_is_a_400() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InvalidRequest, match="roles must alternate"):
        template.render([])


def test_the_first_prompt_chunk_is_the_smallest() -> None:
    assert PrefillBudget(target_ms=100, most_tokens=512).tokens == FEWEST_TOKENS


def test_the_size_of_prompt_chunks_follows_the_measured_decode_time() -> None:
    budget = PrefillBudget(target_ms=100, most_tokens=512)
    budget.record(16, 1.6)
    assert budget.tokens == 512
    for _ in range(20):
        budget.record(512, 51_200)  # 100 ms a token
    assert budget.tokens == FEWEST_TOKENS
    for _ in range(40):
        budget.record(16, 1.6)
    assert budget.tokens == 512


def test_prompt_chunks_are_multiples_of_the_rows_that_a_kernel_takes_at_once() -> None:
    for fitting, taken in ((8, 16), (24, 16), (31, 16), (33, 32), (47, 32), (100, 96)):
        budget = PrefillBudget(target_ms=fitting, most_tokens=99)
        budget.record(16, 16)
        assert budget.tokens == taken
    assert PrefillBudget(target_ms=100, most_tokens=8).tokens == 8


def test_small_batches_do_not_change_the_prompt_chunk_size() -> None:
    budget = PrefillBudget(target_ms=100, most_tokens=512)
    budget.record(16, 1.6)
    budget.record(1, 1000)
    assert budget.tokens == 512


def busy(seq: int, pending: int, generating: bool = False) -> Slot:
    owner = job("x")
    owner.completion_tokens = 1 if generating else 0
    return Slot(seq, pending=[7] * pending, job=owner)


def test_generating_slots_come_before_prompts() -> None:
    rows, ready = plan([busy(0, 50), busy(1, 1, generating=True)], 16, 16)
    assert rows[0].seq == 1
    assert [slot.seq for slot, _row in ready] == [1]
    assert len(rows) == 16


def test_prompts_share_the_batch_and_short_ones_finish_first() -> None:
    rows, ready = plan([busy(0, 50), busy(1, 4)], 20, 20)
    assert [row.seq for row in rows] == [1] * 4 + [0] * 16
    assert [(slot.seq, row) for slot, row in ready] == [(1, 3)]
    assert [row.wants_logits for row in rows] == [False] * 3 + [True] + [False] * 16


def test_retry_after_is_bounded() -> None:
    rate = ServiceRate(slots=2)
    assert rate.retry_after_s(0) == 1
    for _ in range(50):
        rate.record(10.0)
    assert rate.retry_after_s(3) == 20
    assert rate.retry_after_s(10**6) == 60


def write_model(path: Path, content: bytes = b"GGUF and more") -> str:
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_a_valid_model_file_is_accepted(tmp_path: Path) -> None:
    sha256 = write_model(tmp_path / "m.gguf")
    check_model_file(tmp_path / "m.gguf", sha256=sha256, size_bytes=13)


@pytest.mark.parametrize(
    ("sha256", "size", "words"), [("0" * 64, None, "SHA-256"), (None, 99, "99"), (None, None, None)]
)
def test_an_invalid_model_file_is_refused_by_name(
    tmp_path: Path, sha256: str | None, size: int | None, words: str | None
) -> None:
    path = tmp_path / "m.gguf"
    write_model(path)
    if words is None:
        check_model_file(path, sha256=sha256, size_bytes=size)
        return
    with pytest.raises(ModelFileError, match=words) as refused:
        check_model_file(path, sha256=sha256, size_bytes=size)
    assert str(path) in str(refused.value)


def test_a_folder_is_refused_as_a_model_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        check_model_file(tmp_path, sha256=None)


def test_the_catalogues_hash_takes_precedence_over_the_recorded_one(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    recorded_hash_file(path).write_text("ab" * 32 + "  m.gguf\n")
    assert expected_sha256(path, None) == "ab" * 32
    assert expected_sha256(path, "cd" * 32) == "cd" * 32


def test_the_catalogues_entries_are_valid() -> None:
    models = catalogue()
    assert set(models) >= {"demo", "all-minilm-l6-v2", "qwen2.5-0.5b-instruct"}
    assert sum(model.url is not None for model in models.values()) >= 3
    for model in models.values():
        assert [model.url, model.bundled, model.wheels].count(None) == 2, model.name
        assert model.url is None or re.fullmatch(r"https://[^ ]+/resolve/[0-9a-f]{40}/[^/]+\.gguf", model.url)
        assert model.license and model.family and model.context_tokens and model.sha256 and model.size_bytes
        assert model.is_open or (model.license_url or "").startswith("https://")
        assert (model.floor is not None) == ("embeddings" in model.capabilities), "what documents are searched with"


def test_the_bundled_model_is_the_one_of_the_catalogue(tmp_path: Path) -> None:
    for name in ("demo", DEFAULT_EMBEDDING_MODEL):
        entry, path = resolve(name, tmp_path)
        check_model_file(path, sha256=entry.sha256, size_bytes=entry.size_bytes)


def test_any_other_file_is_served_under_its_own_name(tmp_path: Path) -> None:
    entry, path = resolve(str(tmp_path / "My Model.gguf"), tmp_path)
    assert (entry.name, entry.sha256, path) == ("my-model", None, tmp_path / "My Model.gguf")


def test_available_memory_is_the_lesser_of_machine_and_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable: 5000 kB\n")
    assert available_bytes(meminfo, tmp_path) == 5000 * 1024
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert available_bytes(meminfo, tmp_path) == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(meminfo, tmp_path) == 5000 * 1024
    assert available_bytes(tmp_path / "none", tmp_path / "none") is None


def test_every_error_has_a_status_and_an_envelope() -> None:
    assert http_error(ContextTooLong(9, 5)).code == "context_length_exceeded"
    assert http_error(InvalidRequest("x", "y")).status == 400
    assert http_error(DeadlineExceeded("x")).status == 504
    assert envelope(InvalidRequest("x", "y"))["error"]["param"] == "y"
    assert stream_envelope(Overloaded("x", 3))["error"]["retry_after_s"] == 3
    assert all(issubclass(cls, InferenceError) for cls in TABLE)


def blocks(stream: Any) -> list[str]:
    return b"".join(stream).decode().split("\n\n")[:-1]


def choices_of(*jobs: Job, events: Sequence[Event] = ()) -> Choices:
    """One answer of these jobs. Each gets `events` when it is submitted."""

    def submit(one: Job) -> None:
        for event in events:
            one.events.put(event)

    return Choices(jobs, [ChatShape(SHAPE._head, False, index) for index in range(len(jobs))], len(jobs), submit)


def test_a_stream_sends_pings_while_no_token_comes() -> None:
    waiting = job("one:")
    stream = answer.stream(choices_of(waiting), NOBODY, False, ping_every_s=0.0)
    assert next(stream) == b""
    assert next(stream) == b": ping\n"
    stream.close()
    assert waiting.cancelled


def test_a_stream_sends_the_usage_counts_before_every_event() -> None:
    done = job("one:")
    events = (Started(2), Delta("hi", 1), Delta("", 2), Finished("stop", 2))
    done.cached_tokens, done.completion_tokens = 2, 2
    found = blocks(answer.stream(choices_of(done, events=events), NOBODY, True))
    assert [block.split("\n")[0] for block in found[:-1]] == [
        ": usage 4 1 2",
        ": usage 4 1 2",
        ": usage 4 2 2",
        ": usage 4 2 2",
        ": usage 4 2 2",
    ]
    assert found[-1] == "data: [DONE]"


def test_a_failed_stream_ends_with_the_error_and_no_done() -> None:
    failed = job("one:")
    failure = Failed(Overloaded("full", 4))
    found = blocks(answer.stream(choices_of(failed, events=[failure]), NOBODY, True))
    assert json.loads(found[-1].removeprefix("data: "))["error"] == {
        "message": "full",
        "type": "server_error",
        "param": None,
        "code": "overloaded",
        "status": 503,
        "retry_after_s": 4,
    }


def test_choices_run_side_by_side_count_their_prompt_once_and_the_rest_waits() -> None:
    jobs = [job("one:") for _ in range(6)]
    begun: list[Job] = []

    def submit(one: Job) -> None:
        begun.append(one)
        one.events.put(Delta("hi", 1))
        one.events.put(Finished("stop", 1))

    choices = Choices(jobs, [ChatShape(SHAPE._head, False, index) for index in range(6)], 3, submit)
    assert begun == jobs[:ABREAST]
    stream = answer.stream(choices, NOBODY, True)
    sent = [
        json.loads(line[6:]) for block in blocks(stream) for line in block.split("\n") if line.startswith("data: {")
    ]
    assert begun == jobs
    assert sent[-1]["usage"]["prompt_tokens"] == 2 * len(jobs[0].prompt) and sent[-1]["usage"]["completion_tokens"] == 6


def prompts_of(jobs: Sequence[Job], submit: Callable[[Job], None]) -> Choices:
    shapes = [ChatShape(SHAPE._head, False, index) for index in range(len(jobs))]
    return Choices(jobs, shapes, 1, submit)


def answered(one: Job) -> None:
    one.events.put(Delta("hi", 0))
    one.events.put(Finished("stop", 0))


def test_prompts_that_find_the_queue_full_later_wait_for_a_place() -> None:
    jobs, refusals = [job(f"{index}:") for index in range(7)], [0] * 7

    def submit(one: Job) -> None:
        place = jobs.index(one)
        if place >= ABREAST and refusals[place] < 2:
            refusals[place] += 1
            raise Overloaded("full", 1)
        answered(one)

    body = answer.whole(prompts_of(jobs, submit), NOBODY)
    assert [choice["message"]["content"] for choice in body["choices"]] == ["hi"] * 7
    assert refusals[4:] == [2, 2, 2] and body["usage"]["prompt_tokens"] == sum(len(one.prompt) for one in jobs)


def test_a_job_that_waited_too_long_for_a_slot_is_queued_again_once_there_is_work_to_lose() -> None:
    jobs, submitted = [job("one:"), job("two:")], list[Job]()

    def submit(one: Job) -> None:
        submitted.append(one)
        if submitted == jobs:
            one.events.put(Failed(Overloaded("Waited too long", 1)))
        else:
            answered(one)

    body = answer.whole(prompts_of(jobs, submit), NOBODY)
    assert len(body["choices"]) == 2 and submitted == [*jobs, jobs[1]]


def test_a_full_queue_at_the_start_or_past_the_deadline_fails_the_answer() -> None:
    def full(_: Job) -> None:
        raise Overloaded("full", 1)

    with pytest.raises(Overloaded):
        prompts_of([job("one:")], full)
    jobs = [job(f"{index}:", deadline_s=0.0) for index in range(5)]
    with pytest.raises(DeadlineExceeded):
        answer.whole(prompts_of(jobs, lambda one: full(one) if one is jobs[4] else answered(one)), NOBODY)
    waited = [job("one:"), job("two:")]

    def too_long(one: Job) -> None:
        one.events.put(Failed(Overloaded("Waited too long", 1)))

    with pytest.raises(Overloaded):
        answer.whole(prompts_of(waited, too_long), NOBODY)
    assert all(one.cancelled for one in (*jobs, *waited))


def test_a_caller_who_leaves_ends_every_choice() -> None:
    jobs = [job("one:") for _ in range(3)]
    with pytest.raises(CallerGone):
        answer.whole(choices_of(*jobs), Gone({}, 1.0))
    assert all(one.cancelled for one in jobs)


class Gone(Caller):
    def gone(self) -> bool:
        return True


def test_a_closed_connection_cancels_the_job_streamed_or_not() -> None:
    for read in (lambda j: blocks(answer.stream(choices_of(j), Gone({}, 1.0), False)), None):
        running = job("one:")
        if read is not None:
            assert read(running) == []
        else:
            with pytest.raises(CallerGone):
                answer.whole(choices_of(running), Gone({}, 1.0))
        assert running.cancelled


@pytest.mark.parametrize("header", ["", "-1", "1e3", "soon", "9" * 20])
def test_a_deadline_must_be_a_number(header: str) -> None:
    with pytest.raises(InvalidRequest):
        job_builder.deadline_s(header, 1000)


@pytest.mark.parametrize(
    ("mib", "setting", "cpus", "threads"),
    [(1, 0, 8, (1, 1)), (500, 0, 1, (1, 1)), (500, 0, 2, (1, 2)), (500, 0, 8, (7, 8)), (500, 3, 8, (3, 3))],
)
def test_an_answer_alone_leaves_a_processor_to_the_gateway(
    mib: int, setting: int, cpus: int, threads: tuple[int, int]
) -> None:
    assert threads_for(mib << 20, InferenceSettings(threads=setting), cpus) == threads
