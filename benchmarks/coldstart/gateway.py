"""The gateway's cold start: gunicorn, started as by the Web Adapter, to the first answer. Counts all processes."""

import http.client
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gateway import processes


def first_answer(function: Path, layer: Path, environment: Mapping[str, str], bearer: str) -> dict[str, float]:
    """Seconds of CPU: `init` until it is ready for the Web Adapter, `event` from there to the end of the answer."""
    (port,) = processes.free_ports(1)
    given = {**environment, "AWS_LWA_PORT": str(port), "PYTHONPATH": str(layer), "PYTHONDONTWRITEBYTECODE": "1"}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([str(function / "run.sh")], cwd=function, env=given, **quiet)
    try:
        processes.wait_for_port(port, poll_seconds=0.002)
        _answered(port, "GET", environment["AWS_LWA_READINESS_CHECK_PATH"])
        init = _cpu(server.pid)
        status, said = _answered(port, "POST", "/v1/chat/completions", bearer)
        if status != 200:
            raise RuntimeError(f"the gateway answered {status}: {said!r}")
        return {"init": init, "event": _cpu(server.pid) - init}
    finally:
        processes.stop(server)


def _cpu(pid: int) -> float:
    return processes.cpu_seconds([pid, *processes.children(pid)])


def _answered(port: int, method: str, path: str, bearer: str = "") -> tuple[int, bytes]:
    body = (
        json.dumps({"model": "demo", "messages": [{"role": "user", "content": "Capital of France?"}]}) if bearer else ""
    )
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(
        method, path, body, {"Authorization": bearer, "Content-Type": "application/json"} if bearer else {}
    )
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    return answer.status, said
