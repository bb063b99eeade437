"""The gate while a store is upgraded (infra.local.gate)."""

import socket
import threading
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests
from flask import Blueprint

from infra.local import gate
from sluice.http.app import create_app
from tests.ports import free_port
from tests.waiting import eventually

HERE = "127.0.0.1"
views = Blueprint("views", __name__)
views.add_url_rule("/healthz", "healthz", lambda: "ok")
views.add_url_rule("/v1/models", "models", lambda: "[]")


def test_an_app_that_begins_closed_is_open_once_the_file_is_gone_and_stays_so(tmp_path: Path) -> None:
    file = tmp_path / gate.CLOSED
    file.touch()
    app = create_app([views])
    gate.close_if(file, app)
    client = app.test_client()
    refused = client.get("/v1/models")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    assert refused.json is not None and refused.json["error"]["code"] == "unavailable"
    assert client.get("/healthz").status_code == 200
    file.unlink()
    assert client.get("/v1/models").status_code == 200
    file.touch()
    assert client.get("/v1/models").status_code == 200


def test_an_app_that_begins_open_never_looks(tmp_path: Path) -> None:
    app = create_app([views])
    gate.close_if(tmp_path / gate.CLOSED, app)
    (tmp_path / gate.CLOSED).touch()
    assert app.test_client().get("/v1/models").status_code == 200


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HERE, port)) == 0


def test_the_port_answers_until_the_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "CALLER_SECONDS", 60.0)
    port = free_port()
    with gate.closed_port(HERE, port):
        eventually(lambda: listens(port))
        for _ in range(3):
            answer = requests.post(f"http://{HERE}:{port}/v1/chat/completions", json={"a": "b" * 10_000}, timeout=60)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
            assert answer.json()["detail"] == gate.MESSAGE
    assert not listens(port)


def test_it_waits_for_whoever_has_the_port_and_survives_silent_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "CALLER_SECONDS", 2.0)
    port = free_port()
    with socket.create_server((HERE, port)) as other, gate.closed_port(HERE, port):
        silent = [socket.create_connection((HERE, port)) for _ in range(2)]
        other.close()
        eventually(lambda: listens(port))
        silent.append(socket.create_connection((HERE, port)))
        answer = requests.get(f"http://{HERE}:{port}/", timeout=60)
        assert answer.status_code == 503
        for one in silent:
            one.close()


def test_many_at_once_are_all_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "CALLER_SECONDS", 60.0)
    port, statuses = free_port(), list[int]()

    def call() -> None:
        connection = HTTPConnection(HERE, port, timeout=60)
        connection.request("GET", "/")
        statuses.append(connection.getresponse().status)
        connection.close()

    with gate.closed_port(HERE, port):
        eventually(lambda: listens(port))
        threads = [threading.Thread(target=call) for _ in range(50)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert statuses == [503] * 50


def test_it_ends_also_if_the_port_never_became_free() -> None:
    with socket.create_server((HERE, free_port())) as other, gate.closed_port(HERE, other.getsockname()[1]):
        pass
