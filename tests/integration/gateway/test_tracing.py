"""One trace from the gateway to the model server and the store, as a real receiver sees it (ADR 87)."""

import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import opentelemetry.semconv._incubating.attributes.gen_ai_attributes as conventions
import pytest
from flask.testing import FlaskClient
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult
from werkzeug.test import TestResponse

from functions.gateway import app as gateway
from sluice.domain.errors import ModelUnavailable
from sluice.http import tracing
from sluice.http.app import create_app
from sluice.wiring import gateway as wiring
from sluice.wiring import peers, stores
from tests.fakes.upstream import chunk
from tests.integration.gateway.conftest import Person
from tests.otlp import Receiver, Seen, receiver
from tests.waiting import eventually

CALLER_TRACE, CALLER_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLERS = f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"
ROOT = "POST /v1/chat/completions"
SECRET = "swordfish"


class Server(FlaskClient):
    """Closes each answer after its last byte, as a server does."""

    def open(self, *request: Any, **more: Any) -> TestResponse:
        return super().open(*request, **{**more, "buffered": True})


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiver() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")  # this machine may be slow
        yield made


@pytest.fixture
def traced(collector: Receiver, person: Person) -> Person:
    return retraced(person)


def retraced(person: Person) -> Person:
    """The person's gateway, built anew for the environment of now."""
    stores.hot_store()._client.close()  # type: ignore[attr-defined]
    clients = (stores._hot_client, stores.hot_store, stores.spend)
    for built in (peers.tracing, *clients, wiring.gateway, wiring.observer, wiring.answers):
        built.cache_clear()
    app = create_app([gateway.blueprint])
    app.test_client_class = Server
    tracing.install(app, peers.tracing())
    person.client = app.test_client(use_cookies=False)
    return person


def arrived(collector: Receiver) -> list[Seen]:
    peers.tracing().flush()  # type: ignore[union-attr]
    return collector.spans()


def only(spans: list[Seen], name: str) -> Seen:
    (found,) = [span for span in spans if span.name == name]
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_one_call_is_one_trace_with_the_right_parents(traced: Person, collector: Receiver, stream: bool) -> None:
    assert traced.ask(stream=stream).data
    spans = arrived(collector)
    assert len({span.trace for span in spans}) == 1
    names = {span.id: span.name for span in spans}
    prefix = traced.store.prefix
    kept = f"PutItem {prefix}contents"  # the logged prompt
    assert sorted((span.name, names.get(span.parent, "")) for span in spans if span.name != kept) == [
        (ROOT, ""),
        (f"PutItem {prefix}ledger", "settlement"),
        (f"UpdateItem {prefix}grants", "admission"),
        (f"UpdateItem {prefix}grants", "settlement"),
        ("admission", ROOT),
        ("chat demo", ROOT),
        ("settlement", ROOT),
    ]


def test_the_trace_has_the_ledgers_counts_in_the_conventions_names(traced: Person, collector: Receiver) -> None:
    answer = traced.ask()
    attributes = only(arrived(collector), ROOT).attributes
    record = stores.ledger_reader().get(traced.account_id, attributes["sluice.request_id"])
    assert record is not None and answer.headers["x-sluice-request-id"] == record.request_id
    generative = {name: value for name, value in attributes.items() if name.startswith("gen_ai.")}
    assert generative.pop("gen_ai.response.time_to_first_chunk") >= 0
    assert generative == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "sluice",
        "gen_ai.request.model": "demo",
        "gen_ai.request.stream": False,
        "gen_ai.response.model": "demo",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": record.prompt_tokens,
        "gen_ai.usage.output_tokens": record.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": record.cached_tokens,
    }
    assert generative.keys() <= {value for name, value in vars(conventions).items() if name.startswith("GEN_AI_")}


def test_the_model_server_gets_the_span_that_asked_it(traced: Person, collector: Receiver) -> None:
    traced.ask()
    (call,) = traced.upstream.calls
    asked = only(arrived(collector), "chat demo")
    assert re.fullmatch(f"00-{asked.trace}-{asked.id}-0[13]", call.traceparent)  # 1: kept, 2: its id is random


def test_no_text_of_a_request_is_in_a_span(traced: Person, collector: Receiver) -> None:
    traced.script(chunk(SECRET), chunk(None, "stop"))
    messages = [{"role": "user", "content": f"{SECRET} one", "name": SECRET}]
    for path in (f"/v1/chat/completions?q={SECRET}", f"/v1/models/{SECRET}"):
        traced.client.post(path, json={**traced.body, "messages": messages, "user": SECRET}, headers=traced.api_token)
        traced.client.get(path, headers={**traced.api_token, "user-agent": SECRET, "x-request-id": SECRET})
    traced.ask(model=SECRET)
    traced.ask(messages=SECRET)
    traced.script(ModelUnavailable(SECRET))
    traced.ask(stream=True)
    assert len(arrived(collector)) > 12
    sent = b"".join(collector.bodies)
    words = [SECRET, traced.api_token["Authorization"].removeprefix("Bearer ")[:40], traced.account_id, "example."]
    assert [word for word in words if word.encode() in sent] == []


@pytest.mark.parametrize("believed", ["false", "true"])
@pytest.mark.parametrize("given", ["", "garbage", "00-0-0-01", "00-" + "f" * 5000, CALLERS, CALLERS[:-1] + "0"])
def test_no_caller_can_have_its_trace_kept(
    person: Person, collector: Receiver, monkeypatch: pytest.MonkeyPatch, given: str, believed: str
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    monkeypatch.setenv("SLUICE_TRACE_CALLERS", believed)
    peers.settings.gateway.cache_clear()
    headers = {**person.api_token, "traceparent": given}
    assert retraced(person).client.post("/v1/chat/completions", json=person.body, headers=headers).status_code == 200
    assert person.upstream.calls[-1].traceparent == ""
    assert arrived(collector) == []


def test_a_callers_span_is_a_link_unless_the_owner_believes_callers(
    person: Person, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {**person.api_token, "traceparent": CALLERS[:-1] + "0"}  # not kept by the caller: ours is, all the same
    retraced(person).client.post("/v1/chat/completions", json=person.body, headers=headers)
    linked = only(arrived(collector), ROOT)
    assert (linked.parent, linked.links) == ("", (CALLER_SPAN,)) and linked.trace != CALLER_TRACE
    collector.bodies.clear()
    monkeypatch.setenv("SLUICE_TRACE_CALLERS", "true")
    peers.settings.gateway.cache_clear()
    retraced(person).client.post("/v1/chat/completions", json=person.body, headers=headers)
    believed = only(arrived(collector), ROOT)
    assert (believed.trace, believed.parent, believed.links) == (CALLER_TRACE, CALLER_SPAN, ())


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_is_in_the_trace_by_its_type(traced: Person, collector: Receiver, stream: bool) -> None:
    traced.script(chunk("Pa"), ModelUnavailable("the message"))
    assert traced.ask(stream=stream).data
    root = only(arrived(collector), ROOT)
    assert root.failed and root.attributes["error.type"] == ("503" if stream else "model_unavailable")
    assert root.attributes["gen_ai.response.finish_reasons"] == ["error"]


def test_a_refusal_of_the_caller_is_no_failure_of_the_server(traced: Person, collector: Receiver) -> None:
    traced.client.post("/v1/chat/completions", json=traced.body)
    root = only(arrived(collector), ROOT)
    assert (root.failed, root.attributes["error.type"]) == (False, "invalid_api_key")
    assert root.attributes["http.response.status_code"] == 401


@pytest.mark.parametrize("fault", ["gone", "refuses", "slow", "silent"])
def test_a_dead_collector_costs_a_request_nothing(
    person: Person, collector: Receiver, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    collector.status, collector.seconds = (500 if fault == "refuses" else 200), (5.0 if fault == "slow" else 0.0)
    exporting: list[int] = []
    export = OTLPSpanExporter.export

    def noted(self: OTLPSpanExporter, spans: Any) -> Any:
        exporting.append(threading.get_ident())
        return export(self, spans)

    monkeypatch.setattr(OTLPSpanExporter, "export", noted)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        if fault in ("gone", "silent"):
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        if fault == "gone":
            silent.close()
        retraced(person)
        assert {person.ask().status_code for _ in range(20)} == {200}  # some 140 spans for a queue of 20
        eventually(lambda: exporting)
    assert threading.get_ident() not in exporting


def test_requests_are_answered_while_an_export_is_under_way(
    person: Person, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    answered, waited = threading.Event(), []

    def held(self: OTLPSpanExporter, spans: Any) -> SpanExportResult:
        waited.append(answered.wait(60))
        return SpanExportResult.SUCCESS

    monkeypatch.setattr(OTLPSpanExporter, "export", held)
    retraced(person)
    assert {person.ask().status_code for _ in range(20)} == {200}
    answered.set()
    assert eventually(lambda: waited)[0]  # False: a request waited for the export, until that gave up


def test_without_a_collector_nothing_is_traced(person: Person) -> None:
    assert peers.tracing() is None
    person.ask()
    assert type(wiring.gateway().admission).__name__ == "ObservedAdmission"
    assert person.upstream.calls[-1].traceparent == ""
