"""The benchmark's tools: the load generator finds the end of an answer, the canned server speaks the protocol."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks.gateway import processes, report, requests
from benchmarks.gateway.instructions import slower_than
from benchmarks.gateway.load import Caller, repeat
from benchmarks.gateway.matrix import percentile
from benchmarks.gateway.requests import Kind, Target
from sluice.adapters.gateway.upstream import HttpUpstream
from sluice.ports.gateway import UpstreamCall


@pytest.fixture
def upstream_port() -> Iterator[int]:
    port = processes.free_ports(1)[0]
    command = [sys.executable, "-ISs", str(processes.HERE / "canned_upstream.py"), str(port)]
    with subprocess.Popen(command) as process:
        processes.wait_for_port(port)
        yield port
        process.terminate()


def test_a_request_that_takes_over_two_percent_more_than_stored_is_slower() -> None:
    stored = {"plain": 1000, "stream": 1000, "tools": 1000}
    assert slower_than(stored, {"plain": 1021, "stream": 1020, "tools": 900, "new": 5}) == ["plain"]
    assert slower_than({}, {"plain": 1021}) == []


def test_headers_that_end_in_zero_are_not_the_end_of_a_chunked_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        caller = Caller("127.0.0.1", listener.getsockname()[1], b"GET / HTTP/1.1\r\n\r\n")
        server, _ = listener.accept()
        with server, caller.sock:
            server.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-request-id: 10\r\n\r\n")
            assert caller.take() is False
            server.sendall(b"1\r\na\r\n0\r\n\r\n")
            assert caller.take() is True


def test_the_gateways_own_client_reads_the_canned_model_server(upstream_port: int) -> None:
    upstream = HttpUpstream(f"http://127.0.0.1:{upstream_port}", connect_seconds=2.0, idle_seconds=5.0)
    body = {"model": "demo", "messages": [], "max_tokens": 50, "stream": True}
    stream = upstream.open(UpstreamCall("/v1/chat/completions", body, "req_x", "usr_x", 10.0))
    chunks = [json.loads(payload) for payload in stream]
    assert [stream.prompt_tokens, stream.completion_tokens] == [12, 50]
    assert chunks[-1]["usage"]["completion_tokens"] == 50
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert [model["id"] for model in upstream.models()] == ["demo"]
    for connection in upstream._pool._idle:
        connection.close()


@pytest.mark.parametrize("kind", [Kind("plain", stream=False, tokens=8), Kind("stream", stream=True, tokens=50)])
def test_the_load_generator_counts_every_answer(upstream_port: int, kind: Kind) -> None:
    target = Target("direct", "127.0.0.1", upstream_port, ["none"])
    seen = repeat(requests.plan(target, kind, 4, 2, seconds=0.1, warm_seconds=0.0))
    total, first = seen["total"], seen["first"]
    assert isinstance(total, list) and isinstance(first, list)
    assert seen["statuses"] == {200: len(total)}
    assert total and all(early <= late for early, late in zip(first, total, strict=True))


def test_the_percentile_of_no_values_is_not_a_number() -> None:
    assert percentile([], 0.5) != percentile([], 0.5)
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_a_tables_columns_are_aligned() -> None:
    lines = report.table(["a", "bb"], [["ccc", "d"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
