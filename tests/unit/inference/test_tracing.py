"""The engine's spans of one job: its parts in order, its counts, and how it ended."""

from collections.abc import Callable

import pytest

from functions.inference import tracing
from functions.inference.engine.jobs import Delta, Event, Failed, Finished, Job, Started
from functions.inference.errors import Overloaded
from tests.otlp import Seen, receiver

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
KEPT, DROPPED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


def spans_of(monkeypatch: pytest.MonkeyPatch, traceparent: str, *events: Event) -> list[Seen]:
    with receiver() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        begin: Callable[[str, Job], tracing.Watch] | None = tracing.tracing()
        assert begin is not None
        job = Job(prompt=(1, 2, 3), max_tokens=5, completion_tokens=2, cached_tokens=1)
        watch = begin(traceparent, job)
        for event in events:
            watch(event)
        begin.args[0].span_processor.force_flush()  # type: ignore[attr-defined]
        return collector.spans()


def test_a_job_is_a_span_with_its_parts_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    last = Finished("stop", 2)
    *parts, whole = spans_of(monkeypatch, KEPT, Started(1), Delta("a", 1), Delta("b", 2), last, last)
    assert [part.name for part in parts] == ["queue", "prompt", "generation"]
    assert {part.parent for part in parts} == {whole.id} and (whole.trace, whole.parent) == (TRACE, SPAN)
    assert whole.attributes == {
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 1,
        "gen_ai.response.finish_reasons": ["stop"],
    }


def test_a_job_that_never_got_a_slot_ends_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    part, whole = spans_of(monkeypatch, KEPT, Failed(Overloaded("text of the error", 2)))
    assert (part.name, whole.failed, whole.attributes["error.type"]) == ("queue", True, "Overloaded")


@pytest.mark.parametrize("traceparent", ["", "garbage", DROPPED])
def test_only_the_gateway_says_what_is_kept(monkeypatch: pytest.MonkeyPatch, traceparent: str) -> None:
    assert spans_of(monkeypatch, traceparent, Started(0), Finished("stop", 0)) == []


def test_without_a_collector_there_is_no_tracing() -> None:
    assert tracing.tracing() is None
