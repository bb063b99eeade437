"""The inside of a run is closed: only the app has a port, and what only this machine may ask is no one else's."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from infra.local.processes import recorded
from infra.local.programs import why_open
from sluice.adapters.aws.unix_sockets import connected
from tests.e2e.conftest import NewSystem
from tests.e2e.people import TIMEOUT_SECONDS, newcomer
from tests.e2e.system import ROOT, System
from tests.other_user import tries

pytestmark = [pytest.mark.slow, pytest.mark.one_machine("its processes and ports")]
LISTENING = "0A"
CHAT = b'{"model":"demo","messages":[{"role":"user","content":"What is 1 + 1?"}]}'


def own_ports(system: System) -> set[int]:
    """The TCP ports of the machine that processes of this run listen on."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    ports = {f"socket:[{row[9]}]": int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTENING}
    return {ports[held] for held in _held(f"SLUICE_DATA_DIR={system.data_dir}") if held in ports}


def _held(variable: str) -> Iterator[str]:
    """What the descriptors of every process with this environment variable lead to."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                yield from (os.readlink(descriptor) for descriptor in (process / "fd").iterdir())
        except OSError:
            continue  # it ended


def raw(port: int, head: str) -> tuple[int, str]:
    """The status and the body of a request that is sent as it is."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as sock:
        sock.sendall(head.replace("\n", "\r\n").encode() + b"\r\nConnection: close\r\n\r\n")
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return answer.status, answer.read().decode()


def ask_engine(system: System, method: str, path: str, **headers: str) -> tuple[int, list[str]]:
    """The status and the names of the CORS headers of the answer."""
    with closing(http.client.HTTPConnection("localhost")) as connection:
        connection.sock = connected(str(system.data_dir / "run" / "inference.sock"), TIMEOUT_SECONDS)
        connection.request(method, path, CHAT if method == "POST" else None, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, [name for name, _ in answer.getheaders() if name.lower().startswith("access-control")]


def test_only_the_app_listens_on_a_port_of_the_machine(system: System) -> None:
    if reason := why_open():
        pytest.skip(reason)
    assert own_ports(system) == {system.port}


def test_another_user_reaches_neither_store_nor_engine(system: System) -> None:
    inside = [system.data_dir / "run" / f"{name}.sock" for name in ("store", "inference", "supervisor")]
    assert tries([*inside, f"/proc/{system.pid('store')}/ns/net"]) == ["PermissionError"] * 4


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.com", "Content-Type": "text/plain"},
        {"Origin": "null"},
        {"Host": "evil.com"},
        {"Host": "localhost.evil.com:80"},
    ],
)
def test_the_engine_does_no_work_for_a_web_page(system: System, headers: dict[str, str]) -> None:
    assert ask_engine(system, "POST", "/v1/chat/completions", **headers) == (403, [])
    assert ask_engine(system, "POST", "/v1/chat/completions") == (200, [])


def test_the_engine_answers_no_preflight(system: System) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for headers in ({}, {"Origin": "http://evil.com"}):
        assert ask_engine(system, "OPTIONS", "/v1/chat/completions", **headers, **asked) == (403, [])


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script_Name", "PATH_INFO"])
@pytest.mark.parametrize("path", ["/_local/outbox", "/metrics"])
def test_a_path_in_a_header_is_not_believed(system: System, path: str, name: str) -> None:
    newcomer(system.base_url)  # so that there is a mail
    status, body = raw(system.port, f"GET /x{path} HTTP/1.1\nHost: localhost\n{name}: /x")
    assert status == 404 and "example" not in body
    assert raw(system.port, f"GET /healthz HTTP/1.1\nHost: localhost\n{name}: /metrics")[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        "Host: evil.com",
        "Host: localhost\nX-Forwarded-For: 127.0.0.1",
        "Host: localhost\nX-Forwarded-Host: localhost",
        "Host: localhost\nForwarded: for=127.0.0.1",
        "Host: localhost\nX-Real-IP: 127.0.0.1",
        "Host: localhost\nOrigin: http://evil.com",
        "Host: localhost\nOrigin: null",
        "Host: localhost\nSec-Fetch-Site: cross-site",
    ],
)
@pytest.mark.parametrize("path", ["/_local/outbox", "/metrics"])
def test_what_is_for_this_machine_is_for_no_proxy_and_no_foreign_page(system: System, path: str, header: str) -> None:
    status, body = raw(system.port, f"GET {path} HTTP/1.1\n{header}")
    assert status == 404 and '"not_found"' in body
    assert raw(system.port, f"GET {path} HTTP/1.1\nHost: localhost:{system.port}")[0] == 200


def test_a_killed_store_is_a_503_until_the_supervisor_brings_it_back(new_system: NewSystem) -> None:
    if reason := why_open():
        pytest.skip(reason)
    system = new_system().start()
    ada = newcomer(system.base_url)
    room = system.pid("store")
    supervisor = recorded(system.data_dir / "run", "supervisor")
    assert supervisor is not None
    store = int(Path(f"/proc/{room}/task/{room}/children").read_text().split()[0])
    os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(store, signal.SIGKILL)
        system.wait_until(lambda: "store" not in system.pids())
        assert ada.call("GET", "/tokens").status_code == 503
    finally:
        os.kill(supervisor, signal.SIGCONT)
    system.wait_until(system.healthy)
    assert ada.call("GET", "/tokens").status_code == 200


def test_a_machine_that_cannot_protect_the_store_says_so_and_runs(new_system: NewSystem) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("the test needs the command unshare")
    system = new_system()
    no_namespaces = "echo 0 > /proc/sys/user/max_net_namespaces && exec "
    system.command = ["unshare", "-Ur", "sh", "-c", no_namespaces + " ".join(system.command)]
    system.start()
    assert "not protected from other users of this machine" in system.output()
    assert len(own_ports(system)) == 2 and system.port in own_ports(system)
    command = [ROOT / ".venv" / "bin" / "sluice", "users", "list"]
    done = subprocess.run(command, env=system.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
