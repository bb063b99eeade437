"""Servers with OpenAI's API as upstreams of a gateway: llama.cpp's own, llama-cpp-python's, and another Sluice."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from sluice.domain.usage.ledger import LedgerRecord
from tests.books import Books
from tests.e2e import people
from tests.e2e.people import Person
from tests.e2e.system import System
from tests.peers.conftest import NewHome, upstream
from tests.peers.servers import Peer, llama_cpp_python, llama_server
from tests.waiting import eventually

NAMES = ("llama-server", "llama-cpp-python", "sluice")
COUNTS = ("llama-server", "sluice")  # that tell the usage of a stream, by which all answers are asked for
QUESTION = {"messages": [{"role": "user", "content": "Capital of France?"}], "temperature": 0, "max_tokens": 40}


@dataclass(frozen=True)
class Pair:
    """A peer, and a person of the gateway in front of it, where the peer's model is called `model`."""

    peer: Peer
    person: Person
    books: Books
    model: str

    def ask(self, path: str = "/v1/chat/completions", **fields: Any) -> Any:
        body = {"model": self.model, **(QUESTION if path == "/v1/chat/completions" else {}), **fields}
        return self.person.v1("POST", path, json=body, stream=bool(fields.get("stream")))

    def ask_peer(self, path: str = "/v1/chat/completions", **fields: Any) -> Any:
        body = {"model": self.peer.model, **(QUESTION if path == "/v1/chat/completions" else {}), **fields}
        return self.peer.call("POST", path, json=body)

    def record(self, request_id: str) -> LedgerRecord:
        """Of this request, once it is settled."""
        (found,) = eventually(lambda: [one for one in self.books.ledger() if one.request_id == request_id])
        assert found.upstream == self.peer.name and not any(grant.leases for grant in self.books.grants())
        return found


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Peer]]:
    folder = tmp_path_factory.mktemp("peers")
    with ExitStack() as stack:
        found = [stack.enter_context(made(folder)) for made in (llama_server, llama_cpp_python)]
        second = System(folder / "second")
        stack.callback(second.discard)
        token = people.newcomer(second.start().base_url).api_token
        found.append(Peer("sluice", second.base_url, token, model="demo"))
        yield {peer.name: peer for peer in found}


@pytest.fixture(scope="module")
def home(peers: dict[str, Peer], new_home: NewHome) -> tuple[Person, Books]:
    tables = [upstream(peer) for peer in peers.values()]
    tables += [f'[[models]]\nid = "by-{one.name}"\nupstreams = ["{one.name}:{one.model}"]\n' for one in peers.values()]
    home = new_home("\n".join(tables), {peer.variable: peer.key for peer in peers.values()})
    return people.newcomer(home.base_url), Books(home)


@pytest.fixture(params=NAMES)
def pair(request: pytest.FixtureRequest, peers: dict[str, Peer], home: tuple[Person, Books]) -> Pair:
    return Pair(peers[request.param], *home, f"by-{request.param}")


def events(answer: Any) -> list[dict[str, Any]]:
    assert answer.content.rstrip().endswith(b"data: [DONE]"), answer.content
    return [json.loads(line[6:]) for line in answer.content.splitlines() if line.startswith(b"data: {")]


def counts(usage: dict[str, Any]) -> tuple[int, int]:
    return usage["prompt_tokens"], usage["completion_tokens"]


def test_a_plain_answer_is_the_peers_with_our_name_of_the_model(pair: Pair) -> None:
    theirs, ours = pair.ask_peer().json(), pair.ask()
    assert ours.status_code == 200, ours.text
    assert (ours.json()["model"], ours.headers["x-sluice-upstream"]) == (pair.model, pair.peer.name)
    assert ours.json()["choices"][0]["message"]["content"] == theirs["choices"][0]["message"]["content"]
    record = pair.record(ours.headers["x-sluice-request-id"])
    assert counts(ours.json()["usage"]) == (record.prompt_tokens, record.completion_tokens)
    if pair.peer.name in COUNTS:
        assert counts(theirs["usage"]) == counts(ours.json()["usage"]) and not record.estimated
