"""Traces by OpenTelemetry (ADR 87). Imported only where a collector is named, because the import takes 0.2 s.

    POST /v1/chat/completions ─┬─ admission ── UpdateItem sluice-grants
                               ├─ chat demo ── (the engine's own spans)
                               └─ settlement ─┬─ PutItem sluice-ledger
                                              └─ UpdateItem sluice-grants  (one machine: one TransactWriteItems)

Spans are given to a queue of bounded length, which a thread of the SDK empties; what does not fit is dropped. So a
collector that is away costs a request nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sluice.domain.usage.ledger import LedgerRecord

PROPAGATOR = TraceContextTextMapPropagator()
OPERATIONS = {  # the others are "chat"
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/rerank": "rerank",
    "/tokenize": "count_tokens",
    "/v1/run": "run",
    "/v2/infer": "run",
    "/v2/metadata": "describe",
    "/v2/ready": "describe",
}
SERVER_ERRORS = 500


class _Request:
    """The spans of one request. `inner`: the context of the innermost part that is open."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.inner = set_span_in_context(span, Context())
        self.asked: Span | None = None


class OtelTracing:
    """`sluice.ports.usage.Tracing`. The environment names collector, sampler and limits, as OpenTelemetry defines.

    Which traces are kept is the owner's choice alone (OTEL_TRACES_SAMPLER): no caller can have one kept. A caller's own
    span is a link of ours. `believe_callers` makes it the parent instead, for a gateway whose callers are the owner's.
    """

    def __init__(self, *, believe_callers: bool, exporter: SpanExporter | None = None) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "sluice-gateway"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("sluice")
        self._believe_callers = believe_callers
        self._request: ContextVar[_Request | None] = ContextVar("request", default=None)

    def begin(self, method: str, route: str, request_id: str, traceparent: str) -> None:
        caller = get_current_span(PROPAGATOR.extract({"traceparent": traceparent}, Context())).get_span_context()
        believed = self._believe_callers and caller.is_valid
        span = self._tracer.start_span(
            f"{method} {route}",
            self._under(caller) if believed else Context(),
            SpanKind.SERVER,
            {"http.request.method": method, "http.route": route, "sluice.request_id": request_id},
            [Link(caller)] if caller.is_valid and not believed else [],
        )
        self._request.set(_Request(span) if span.is_recording() else None)

    def _under(self, caller: SpanContext) -> Context:
        """The caller's span as the parent, without its sampling: that is decided for a trace id that we draw."""
        sampler, drawn = self._provider.sampler, RandomIdGenerator().generate_trace_id()
        kept = sampler.should_sample(Context(), drawn, "").decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if kept else TraceFlags.DEFAULT)
        return set_span_in_context(NonRecordingSpan(SpanContext(caller.trace_id, caller.span_id, True, flags)))

    def end(self, status: int, error_code: str) -> None:
        request = self._request.get()
        if request is None:
            return
        self._request.set(None)
        request.span.set_attribute("http.response.status_code", status)
        _end(request.span, error_code, failed=status >= SERVER_ERRORS)

    @contextmanager
    def span(self, name: str, **attributes: str) -> Iterator[None]:
        request = self._request.get()
        if request is None:
            yield
            return
        outer = request.inner
        kind = SpanKind.CLIENT if attributes else SpanKind.INTERNAL
        span = self._tracer.start_span(name, outer, kind, attributes)
        request.inner, error = set_span_in_context(span, outer), ""
        try:
            yield
        except BaseException as exc:
            error = str(getattr(exc, "code", "") or type(exc).__name__)  # never the message, which may quote anything
            raise
        finally:
            request.inner = outer
            _end(span, error, failed=bool(error))

    def ask(self, model: str, path: str) -> str:
        request = self._request.get()
        if request is None:
            return ""
        self.answered()
        operation = OPERATIONS.get(path, "chat")
        described = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "sluice",
            "gen_ai.request.model": model,
        }
        request.asked = self._tracer.start_span(f"{operation} {model}", request.inner, SpanKind.CLIENT, described)
        request.span.set_attributes(described)
        carrier: dict[str, str] = {}
        PROPAGATOR.inject(carrier, set_span_in_context(request.asked, Context()))
        return carrier["traceparent"]

    def answered(self, error: str = "") -> None:
        request = self._request.get()
        if request is not None and request.asked is not None:
            _end(request.asked, error, failed=bool(error))
            request.asked = None

    def settled(self, record: LedgerRecord) -> None:
        request = self._request.get()
        if request is None:
            return
        request.span.set_attributes(
            {
                "gen_ai.response.model": record.model,
                "gen_ai.request.stream": record.stream,
                "gen_ai.usage.input_tokens": record.prompt_tokens,
                "gen_ai.usage.output_tokens": record.completion_tokens,
                "gen_ai.usage.cache_read.input_tokens": record.cached_tokens,
            }
        )
        if record.finish_reason is not None:
            request.span.set_attribute("gen_ai.response.finish_reasons", [record.finish_reason])
        if record.ttft_ms is not None:
            request.span.set_attribute("gen_ai.response.time_to_first_chunk", record.ttft_ms / 1000)
        if record.status >= SERVER_ERRORS:  # of a stream, whose HTTP status was sent before
            _note(request.span, str(record.status), failed=True)

    def flush(self) -> None:
        """Send what waits. For tests."""
        self._provider.force_flush()


def _end(span: Span, error: str, *, failed: bool) -> None:
    _note(span, error, failed=failed)
    span.end()


def _note(span: Span, error: str, *, failed: bool) -> None:
    if error:
        span.set_attribute("error.type", error)
    if failed:
        span.set_status(StatusCode.ERROR)
