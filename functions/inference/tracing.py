"""The engine's spans of a job, below the gateway's: queue, prompt, generation. Off where no collector is named.

OpenTelemetry is imported only where it is on. The gateway decides which traces are kept; a request without its
`traceparent` has none.
"""

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from functions.inference.engine.jobs import Delta, Event, Failed, Finished, Job, Started

if TYPE_CHECKING:
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
Watch = Callable[[Event], None]


def tracing() -> Callable[[str, Job], Watch] | None:
    """→ what begins the spans of a job with the gateway's `traceparent`, and returns what to call with its events."""
    if not any(os.environ.get(name) for name in COLLECTORS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
    except ModuleNotFoundError:
        log.warning("no traces: a collector is named, but OpenTelemetry is not installed")
        return None
    resource = Resource.create({"service.name": "sluice-inference"})
    provider = TracerProvider(ParentBased(ALWAYS_OFF), resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return partial(JobSpans, provider.get_tracer("sluice"))


class JobSpans:
    """Called with each event of one job. It never sees a text: lengths and counts only."""

    def __init__(self, tracer: Any, traceparent: str, job: Job) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        above = TraceContextTextMapPropagator().extract({"traceparent": traceparent}, Context())
        self._tracer, self._job = tracer, job
        self._whole: Span = tracer.start_span("generate", above, SpanKind.SERVER)
        self._inside = set_span_in_context(self._whole, Context())
        self._part_name, self._part = "queue", self._begin("queue")

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._next("prompt")
        elif isinstance(event, Delta):
            self._next("generation")
        elif self._part_name:
            self._end(event)

    def _begin(self, name: str) -> "Span":
        span: Span = self._tracer.start_span(name, self._inside)
        return span

    def _next(self, name: str) -> None:
        if name == self._part_name:
            return
        self._part.end()
        self._part_name, self._part = name, self._begin(name)

    def _end(self, event: Finished | Failed) -> None:
        from opentelemetry.trace import StatusCode

        self._part_name = ""
        self._part.end()
        job = self._job
        counts = {
            "input_tokens": len(job.prompt),
            "output_tokens": job.completion_tokens,
            "cache_read.input_tokens": job.cached_tokens,
        }
        self._whole.set_attributes({f"gen_ai.usage.{name}": count for name, count in counts.items()})
        if isinstance(event, Failed):
            self._whole.set_attribute("error.type", type(event.error).__name__)
            self._whole.set_status(StatusCode.ERROR)
        else:
            self._whole.set_attribute("gen_ai.response.finish_reasons", [event.reason])
        self._whole.end()
