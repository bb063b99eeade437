"""One call of the running system is one trace, from the gateway's process to the engine's, with the ledger's counts."""

import pytest

from tests.e2e.conftest import NewSystem
from tests.e2e.people import newcomer
from tests.otlp import Seen, receiver

ROOT = "POST /v1/chat/completions"
TREE = {
    (ROOT, ""),
    ("admission", ROOT),
    ("UpdateItem sluice-grants", "admission"),
    ("chat demo", ROOT),
    ("generate", "chat demo"),
    ("queue", "generate"),
    ("prompt", "generate"),
    ("generation", "generate"),
    ("settlement", ROOT),
    ("TransactWriteItems", "settlement"),  # of one machine; elsewhere it is two writes (ADR 49)
}


@pytest.mark.long
def test_one_call_is_one_trace_through_both_processes(new_system: NewSystem) -> None:
    with receiver() as collector:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        system = new_system(env=settings).start()
        person = newcomer(system.base_url)
        answer = person.v1(
            "POST",
            "/v1/chat/completions",
            json={"model": "demo", "messages": [{"role": "user", "content": "What is the capital of France?"}]},
        )
        spans = collector.wait(lambda spans: tree(spans) >= TREE)  # they come in batches, of two processes
        (root,) = roots(spans)
        spans = [span for span in spans if span.trace == root.trace]
        services = {span.name: span.service for span in spans}
        assert (services[ROOT], services["generate"]) == ("sluice-gateway", "sluice-inference")
        (entry,) = person.call("GET", "/usage/logs").json()["data"]
        (engine,) = [span for span in spans if span.name == "generate"]
        for span in (root, engine):
            assert span.attributes["gen_ai.usage.input_tokens"] == entry["prompt_tokens"]
            assert span.attributes["gen_ai.usage.output_tokens"] == entry["completion_tokens"]
            assert span.attributes["gen_ai.response.finish_reasons"] == [entry["finish_reason"]]
        said = answer.json()["choices"][0]["message"]["content"].strip()
        sent = b"".join(collector.bodies)
        assert said and not [text for text in ("capital", said, person.email) if text.encode() in sent]
        collector.seconds = 600.0  # a collector that hangs does not keep the system from stopping
        system.ctrl_c()
        assert "SIGKILL" not in (system.data_dir / "logs" / "supervisor.log").read_text()


def roots(spans: list[Seen]) -> list[Seen]:
    return [span for span in spans if span.name == ROOT]


def tree(spans: list[Seen]) -> set[tuple[str, str]]:
    """The names of each span of the call and of its parent."""
    names = {(span.trace, span.id): span.name for span in spans}
    traces = {root.trace for root in roots(spans)}
    return {(span.name, names.get((span.trace, span.parent), "")) for span in spans if span.trace in traces}
