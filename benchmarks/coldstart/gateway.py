"""The gateway's cold start: gunicorn, started as by the Web Adapter, to the first answer. Counts all processes."""

import http.client
import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gateway import processes


def first_answer(function: Path, layer: Path, environment: Mapping[str, str], bearer: str) -> dict[str, float]:
    """Seconds: `import_*` until it listens, `event_*` from there to the end of the first answer."""
    (port,) = processes.free_ports(1)
    given = {**environment, "AWS_LWA_PORT": str(port), "PYTHONPATH": str(layer), "PYTHONDONTWRITEBYTECODE": "1"}
    began = time.perf_counter()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([str(function / "run.sh")], cwd=function, env=given, **quiet)
    try:
        processes.wait_for_port(port, poll_seconds=0.002)
        listening = time.perf_counter() - began
        _ask(port, bearer)
        answered = time.perf_counter() - began
        cpu = processes.cpu_seconds([server.pid, *processes.children(server.pid)])
    finally:
        processes.stop(server)
    return {"import_wall": listening, "event_wall": answered - listening, "cpu": cpu}


def _ask(port: int, bearer: str) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "Capital of France?"}]}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": bearer, "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"the gateway answered {answer.status}: {said!r}")
