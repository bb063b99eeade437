"""A real inference server for tests: gunicorn, as it is run, on a free port."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.ports import free_port

ROOT = Path(__file__).parents[3]
COMMAND = ["-m", "gunicorn", "-c", "functions/inference/gunicorn.conf.py", "functions.inference.app:create_app()"]


@dataclass
class Server:
    url: str
    process: subprocess.Popen[str]

    def post(self, path: str, body: Any, **options: Any) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=60, **options)

    def chat(self, question: str, **fields: Any) -> dict[str, Any]:
        body = {"model": "demo", "messages": [{"role": "user", "content": question}]} | fields
        response = self.post("/v1/chat/completions", body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def says(self, question: str, **fields: Any) -> str:
        text: str = self.chat(question, **fields)["choices"][0]["message"]["content"]
        return text

    def events(self, path: str, body: dict[str, Any], **headers: str) -> list[str]:
        """Every block of the stream, comments included."""
        response = self.post(path, body | {"stream": True}, headers=headers, stream=True)
        assert response.status_code == 200, response.text
        return [block for block in response.content.decode().split("\n\n") if block]

    def chunks(self, path: str, body: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
        blocks = self.events(path, body, **headers)
        assert blocks[-1] == "data: [DONE]"
        return [json.loads(block.split("data: ", 1)[1]) for block in blocks[:-1] if "data: " in block]

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(self.url + "/healthz", timeout=60).json()
        return found

    def models(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = requests.get(self.url + "/v1/models", timeout=60).json()["data"]
        return found

    def states(self) -> dict[str, str]:
        """Which models are loaded."""
        return {model["id"]: model["state"] for model in self.health()["models"]}

    def wait_idle(self, within_s: float = 60.0) -> float:
        """Seconds until no slot is taken and nothing waits."""
        return self.wait_for(0, within_s)

    def wait_for(self, requests: int, within_s: float = 60.0) -> float:
        """Seconds until so many requests run or wait."""
        began = time.monotonic()
        while time.monotonic() < began + within_s:
            health = self.health()
            if health.get("running", -1) + health.get("waiting", -1) == requests:
                return time.monotonic() - began
            time.sleep(0.01)
        raise AssertionError(f"not {requests} requests: {self.health()}")


def launch(log: Path, port: int, **environment: str) -> subprocess.Popen[str]:
    environment = {"SLUICE_INFERENCE_BIND": f"127.0.0.1:{port}", "SLUICE_DATA_DIR": str(log.parent)} | environment
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("SLUICE_")}
    with log.open("w") as out:
        return subprocess.Popen(
            [sys.executable, *COMMAND], cwd=ROOT, env=inherited | environment, stdout=out, stderr=out, text=True
        )


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[Server]:
    log, port = folder / "inference.log", free_port()
    process = launch(log, port, **environment)
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        wait_ready(server, log)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_ready(server: Server, log: Path, within_s: float = 120.0) -> None:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        assert server.process.poll() is None, log.read_text()
        try:
            if server.health()["status"] == "ready":
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not ready in time: {log.read_text()}")
