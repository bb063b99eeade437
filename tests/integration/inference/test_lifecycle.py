"""Starting, refusing to start, overload, draining, crashing."""

import contextlib
import hashlib
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from functions.inference.models.catalogue import DEFAULT_EMBEDDING_MODEL
from tests.integration.inference.server import ROOT, Server, launch, running
from tests.ports import free_port
from tests.waiting import eventually

DEMO = ROOT / "model" / "demo-model-q8_0.gguf"
MINILM = ROOT / "model" / "all-minilm-l6-v2-q8_0.gguf"
CHAT = "/v1/chat/completions"
SLOW = {"max_tokens": 450, "temperature": 2.0, "logit_bias": {"958": -100}}
"""Makes the end of the turn impossible, so that the answer has max_tokens."""


def body(question: str = "What is 3 + 4?", **fields: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": question}]} | fields


def refused_start(folder: Path, **environment: str) -> str:
    """The log of a server that must not start."""
    log = folder / "inference.log"
    process = launch(log, free_port(), **environment)
    try:
        assert process.wait(60) == 3
    finally:
        process.kill()
    return log.read_text()


def garbled(path: Path, at: int, raw: bytes) -> Path:
    content = bytearray(DEMO.read_bytes())
    content[at : at + len(raw)] = raw
    path.write_bytes(content)
    return path


def test_a_file_without_a_chat_template_completes_text_and_refuses_to_chat(tmp_path: Path) -> None:
    key = b"tokenizer.chat_template"
    path = garbled(tmp_path / "base.gguf", DEMO.read_bytes().index(key), key.upper())
    with running(tmp_path, SLUICE_MODEL=str(path)) as server:
        model = requests.get(f"{server.url}/v1/models", timeout=60).json()["data"][0]
        assert (model["id"], model["capabilities"]) == ("base", ["completions"])
        assert server.post("/v1/completions", {"model": "base", "prompt": "Count", "max_tokens": 2}).status_code == 200
        for where in (CHAT, "/tokenize"):
            refusal = server.post(where, body(model="base"))
            error = refusal.json()["error"]
            assert (refusal.status_code, error["param"]) == (400, "model") and "no chat template" in error["message"]


def test_a_changed_model_file_is_refused_by_its_hash(tmp_path: Path) -> None:
    path = garbled(tmp_path / DEMO.name, 700_000, b"tampered")  # the name makes it claim to be the demo model
    log = refused_start(tmp_path, SLUICE_MODEL=str(path))
    assert str(path) in log
    assert "corrupted" in log
    assert "Traceback" not in log


def test_a_recorded_hash_is_checked_too(tmp_path: Path) -> None:
    path = garbled(tmp_path / "mine.gguf", 700_000, b"tampered")
    Path(f"{path}.sha256").write_text("0" * 64)
    assert "SHA-256" in refused_start(tmp_path, SLUICE_MODEL=str(path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut off"),
        (b"hello world", "not a GGUF file"),
        (DEMO.read_bytes()[:500_000], "cannot be loaded"),
        (DEMO.read_bytes()[:100], "cut off"),
        (DEMO.read_bytes().replace(b"qwen2", b"qwenX"), "cannot be loaded"),
        (b"GGUF" + random.Random(1).randbytes(4000), "the GGUF version"),
    ],
    ids=["empty", "no-gguf", "truncated", "header-only", "unknown-architecture", "noise"],
)
def test_a_broken_model_file_is_refused_with_a_message(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    log = refused_start(tmp_path, SLUICE_MODEL=str(path))
    assert str(path) in log
    assert words in log
    assert "Traceback" not in log


def test_a_missing_model_says_how_to_get_it(tmp_path: Path) -> None:
    assert "cannot be read" in refused_start(tmp_path, SLUICE_MODEL=str(tmp_path / "none.gguf"))
    assert "sluice model pull" in refused_start(tmp_path, SLUICE_MODEL="qwen2.5-0.5b-instruct")
    assert "demo" in refused_start(tmp_path, SLUICE_MODEL="no-such-name")


def test_a_file_that_is_not_what_it_is_used_for_is_said_to_be_so(tmp_path: Path) -> None:
    for name in (DEFAULT_EMBEDDING_MODEL, str(shutil.copy(MINILM, tmp_path / "mine.gguf"))):
        log = refused_start(tmp_path, SLUICE_MODEL=name)
        assert "architecture bert) makes embeddings and does not generate text" in log and "damaged" not in log
    log = refused_start(tmp_path, SLUICE_INFERENCE_EMBEDDINGS_MODEL=str(DEMO))
    assert "architecture qwen2) generates text and makes no embeddings" in log


def test_an_embedding_model_given_by_path_makes_vectors(tmp_path: Path) -> None:
    path = shutil.copy(MINILM, tmp_path / "Mine.gguf")
    with running(tmp_path, SLUICE_INFERENCE_EMBEDDINGS_MODEL=str(path)) as server:
        rows = requests.get(server.url + "/v1/models", timeout=60).json()["data"]
        row = next(one for one in rows if one["id"] == "mine")
        assert row["capabilities"] == ["embeddings"] and row["embedding"]["dimensions"] == 384
        answer = server.post("/v1/embeddings", {"model": "mine", "input": "tea"}).json()
        assert answer["version"] == row["embedding"]["version"] == hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def test_a_model_that_does_not_fit_the_budget_is_refused(tmp_path: Path) -> None:
    assert "does not fit" in refused_start(tmp_path, SLUICE_INFERENCE_MEMORY_MIB="64")


def test_an_invalid_setting_is_named(tmp_path: Path) -> None:
    process = launch(tmp_path / "log", free_port(), SLUICE_INFERENCE_SLOTS="many")
    assert process.wait(60) == 1
    log = (tmp_path / "log").read_text()
    assert "slots" in log.lower()
    assert "Traceback" not in log


def test_a_model_given_by_path_is_served_under_the_files_name(tmp_path: Path) -> None:
    shutil.copy(DEMO, tmp_path / "My Own.gguf")
    with running(tmp_path, SLUICE_MODEL=str(tmp_path / "My Own.gguf")) as server:
        models = requests.get(server.url + "/v1/models", timeout=60).json()["data"]
        assert [model["id"] for model in models] == ["my-own", DEFAULT_EMBEDDING_MODEL]
        answer = server.post(CHAT, body(model="my-own", temperature=0)).json()
        assert answer["choices"][0]["message"]["content"] == "7"


def test_a_lazy_server_loads_at_the_first_request(tmp_path: Path) -> None:
    with running(tmp_path, SLUICE_INFERENCE_LOAD="lazy") as server:
        (chat, _embeddings) = server.models()
        assert (chat["id"], chat["context_window"], chat["capabilities"]) == ("demo", 512, ["chat", "completions"])
        assert server.health()["model"] is None and set(server.states().values()) == {"unloaded"}
        assert server.says("What is 3 + 4?") == "7"
        assert server.health()["model"] == "demo" and server.states()["demo"] == "loaded"


def test_a_full_queue_is_503_with_retry_after_and_the_server_recovers(tmp_path: Path) -> None:
    with running(tmp_path, SLUICE_INFERENCE_SLOTS="1", SLUICE_INFERENCE_QUEUE_SIZE="2") as server:
        responses: list[requests.Response] = []
        until = time.monotonic() + 60

        def ask(account: str) -> None:
            """Until one is refused: a busy machine may start the threads one after another's answer."""
            while time.monotonic() < until and all(response.status_code == 200 for response in responses):
                responses.append(server.post(CHAT, body(**SLOW), headers={"x-sluice-account": account}))

        threads = [threading.Thread(target=ask, args=(f"a{n}",)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [response for response in responses if response.status_code == 503]
        assert refused
        assert {response.status_code for response in responses} == {200, 503}
        for response in refused:
            assert int(response.headers["Retry-After"]) >= 1
            assert response.json()["error"]["code"] == "overloaded"
        assert server.says("What is 3 + 4?") == "7"


def test_waiting_too_long_ends_the_stream_with_an_overload_event(tmp_path: Path) -> None:
    with running(tmp_path, SLUICE_INFERENCE_SLOTS="1", SLUICE_INFERENCE_QUEUE_WAIT_MS="1") as server:
        errors: list[dict[str, Any]] = []
        until = time.monotonic() + 60

        def hold() -> None:
            while not errors and time.monotonic() < until:
                server.post(CHAT, body(**SLOW))

        hog = threading.Thread(target=hold)
        hog.start()
        while hog.is_alive() and not errors:
            last = server.events(CHAT, body(), **{"x-sluice-account": "b"})[-1]
            if last != "data: [DONE]":
                errors.append(json.loads(last.removeprefix("data: "))["error"])
        hog.join()
        assert errors
        assert (errors[0]["status"], errors[0]["code"]) == (503, "overloaded")
        assert errors[0]["retry_after_s"] >= 1


def test_clients_that_never_read_are_disconnected_and_free_their_threads(tmp_path: Path) -> None:
    few = {
        "SLUICE_INFERENCE_SLOTS": "2",
        "SLUICE_INFERENCE_QUEUE_SIZE": "2",
        "SLUICE_INFERENCE_WRITE_TIMEOUT_MS": "300",
    }
    lazy = []
    with running(tmp_path, **few) as server:  # 28 threads in all
        for number in range(36):
            lazy.append(never_reading(server, body(**SLOW, stream=True, logprobs=True, top_logprobs=20)))
            server.wait_idle()
            if number % 6 == 5:
                assert server.says("What is 3 + 4?") == "7"
        for connection in lazy:
            connection.close()


def never_reading(server: Server, fields: dict[str, Any]) -> socket.socket:
    """A request whose answer (about 1 MB) begins and is not read. Until it begins, the server may still look idle."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect((host, int(port)))
    payload = json.dumps(fields).encode()
    connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(payload)}\r\n\r\n".encode() + payload)
    assert select.select([connection], [], [], 60)[0], "the answer does not begin"
    return connection


def test_incomplete_requests_free_their_threads(tmp_path: Path) -> None:
    few = {"SLUICE_INFERENCE_SLOTS": "1", "SLUICE_INFERENCE_QUEUE_SIZE": "1", "SLUICE_INFERENCE_READ_TIMEOUT_MS": "500"}
    halves = [b"POST /v1/chat/completions HT", b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"]
    with running(tmp_path, **few) as server:  # 26 threads in all
        host, port = server.url.removeprefix("http://").split(":")
        with contextlib.ExitStack() as stack:
            stuck = [stack.enter_context(socket.create_connection((host, int(port)), timeout=60)) for _ in range(80)]
            for number, connection in enumerate(stuck):
                connection.sendall(halves[number % 2])
            assert server.says("What is 3 + 4?") == "7"
            assert stuck[1].recv(99).startswith(b"HTTP/1.1 408")
    assert "Traceback" not in (tmp_path / "inference.log").read_text()


def test_a_single_request_is_served_before_another_accounts_burst(tmp_path: Path) -> None:
    with running(tmp_path, SLUICE_INFERENCE_SLOTS="2") as server:
        finished: list[str] = []

        def ask(account: str, **fields: Any) -> None:
            assert server.post(CHAT, body(**fields), headers={"x-sluice-account": account}).status_code == 200
            finished.append(account)

        def greedy() -> None:
            while "modest" not in finished:
                ask("greedy", **SLOW)

        burst = [threading.Thread(target=greedy) for _ in range(30)]
        for thread in burst:
            thread.start()
        eventually(lambda: server.health()["waiting"] >= 24)
        before = len(finished)
        ask("modest", max_tokens=3)
        overtook_by = finished.index("modest") - before
        for thread in burst:
            thread.join()
        assert overtook_by < 16  # in turn it would be 24; two hold the slots, and some end while its answer travels


def test_sigterm_lets_running_streams_end(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        response = server.post(CHAT, body("Explain what an API is.", stream=True), stream=True)
        lines = response.iter_lines()
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        rest = b"\n".join(lines)
        assert rest.rstrip().endswith(b"data: [DONE]")
        assert server.process.wait(60) == 0


def test_streams_longer_than_the_drain_time_end_with_an_error(tmp_path: Path) -> None:
    with running(tmp_path, SLUICE_INFERENCE_DRAIN_MS="1", SLUICE_INFERENCE_SLOTS="1") as server:
        results: list[list[str]] = []

        def ask() -> None:
            with contextlib.suppress(requests.RequestException, AssertionError):  # too late: the server stops
                results.append(server.events(CHAT, body(**SLOW)))

        threads = [threading.Thread(target=ask) for _ in range(24)]
        for thread in threads:
            thread.start()
        # Not all 24: a busy machine starts some when others have ended.
        eventually(lambda: server.health()["waiting"] >= 3)
        server.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert server.process.wait(60) == 0
    ends = [blocks[-1] for blocks in results]
    assert any('"status":503' in end for end in ends)
    assert all(end == "data: [DONE]" or '"status":503' in end for end in ends)


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def test_a_worker_that_keeps_dying_while_loading_stops_the_server(tmp_path: Path) -> None:
    path, log = tmp_path / "endless.gguf", tmp_path / "log"
    path.write_bytes(DEMO.read_bytes())
    os.truncate(path, 1 << 40)  # sparse: its hash takes an hour, so the worker is always still loading
    Path(f"{path}.sha256").write_text("0" * 64)
    process = launch(log, free_port(), SLUICE_MODEL=str(path), SLUICE_INFERENCE_MEMORY_MIB=str(1 << 21))
    try:
        until = time.monotonic() + 200
        while process.poll() is None and time.monotonic() < until:
            for pid in children(process.pid):
                with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        assert process.wait(60) == 3
    finally:
        process.kill()
    assert "while loading the model" in log.read_text()
    assert str(path) in log.read_text()


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        os.kill(children(server.process.pid)[0], signal.SIGKILL)
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                if server.says("What is 3 + 4?") == "7":
                    return
            except (requests.ConnectionError, AssertionError):
                time.sleep(0.1)
        raise AssertionError("the worker did not come back")
