"""A receiver of traces (OTLP over HTTP), which decodes what arrives with OpenTelemetry's own classes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.servers import Handler, Server

WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Seen:
    """One span that arrived. `parent` and `links` are span ids in hex; "" for no parent."""

    service: str
    trace: str
    id: str
    parent: str
    name: str
    failed: bool
    attributes: dict[str, Any]
    links: tuple[str, ...]


@dataclass
class Receiver:
    """`status`: what every request is answered with, after `seconds`."""

    url: str = ""
    status: int = 200
    seconds: float = 0.0
    bodies: list[bytes] = field(default_factory=list)

    def spans(self) -> list[Seen]:
        return [span for body in self.bodies for span in _decoded(body)]

    def wait(self, enough: Callable[[list[Seen]], bool]) -> list[Seen]:
        until = time.monotonic() + WAIT_SECONDS
        while not enough(spans := self.spans()):
            assert time.monotonic() < until, [span.name for span in spans]
            time.sleep(0.05)
        return spans


@contextmanager
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Requests(Handler):
        def do_POST(self) -> None:
            made.bodies.append(self.body())
            time.sleep(made.seconds)
            self.answer(made.status)

    with Server(Requests) as server:
        made.url = server.url
        yield made


def _decoded(body: bytes) -> Iterator[Seen]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            yield Seen(
                service,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                span.name,
                span.status.code == 2,
                _values(span.attributes),
                tuple(link.span_id.hex() for link in span.links),
            )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
