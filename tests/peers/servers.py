"""The other model servers, each a process with its own key on a port of this machine."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.e2e.place import own_environment
from tests.peers.install import HERE, python
from tests.ports import free_port
from tests.waiting import eventually

MODEL = HERE.parents[1] / "model" / "demo-model-q8_0.gguf"
THEIRS = "their-demo"  # the servers' own name of the model
SLOTS = 2
CONTEXT = 32_768  # of llama-cpp-python's server: an answer that fills it takes long enough to be left
START_SECONDS = 120.0


@dataclass(frozen=True)
class Peer:
    """A running server. `name`: of the upstream in the owner's settings, whose `key` is `env:` and `variable`."""

    name: str
    url: str
    key: str
    model: str = THEIRS
    kind: str = "openai"

    @property
    def variable(self) -> str:
        return f"{self.name.upper().replace('-', '_')}_KEY"

    def call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Asks the server itself."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return requests.request(method, self.url + path, headers=headers, timeout=60, **arguments)


@contextmanager
def process(command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> Iterator[None]:
    """A process that is killed at the end; what it prints goes to `log`."""
    with log.open("wb") as printed:
        made = subprocess.Popen(
            command, env={**own_environment(), **(env or {})}, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed
        )
        try:
            yield
        finally:
            made.kill()
            made.wait()


def wait_ready(peer: Peer, path: str = "/v1/models") -> None:
    def answers() -> bool:
        try:
            return peer.call("GET", path).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    eventually(answers, START_SECONDS)


@contextmanager
def llama_server(folder: Path, name: str = "llama-server", what: str = "text") -> Iterator[Peer]:
    """llama.cpp's own server."""
    port = free_port()
    peer = Peer(name, f"http://127.0.0.1:{port}", f"{name}-secret-1")
    words: list[str | Path] = [python(), HERE / "llama_server.py", str(port), peer.key, MODEL, THEIRS, str(SLOTS), what]
    with process(words, folder / f"{name}.log"):
        wait_ready(peer)
        yield peer


@contextmanager
def llama_cpp_python(folder: Path) -> Iterator[Peer]:
    """The server of llama-cpp-python."""
    port = free_port()
    peer = Peer("llama-cpp-python", f"http://127.0.0.1:{port}", "llama-cpp-python-secret-2")
    words: list[str | Path] = [
        "--model",
        MODEL,
        "--model_alias",
        THEIRS,
        "--n_ctx",
        str(CONTEXT),
        "--n_threads",
        "1",
        "--api_key",
        peer.key,
    ]
    words += ["--host", "127.0.0.1", "--port", str(port)]
    command: list[str | Path] = [python(), "-m", "llama_cpp.server", *words]
    with process(command, folder / "llama-cpp-python.log"):
        wait_ready(peer)
        yield peer
