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
from tests.peers.servers import MODEL, Peer, llama_cpp_python, llama_server
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


@pytest.mark.parametrize("usage", [False, True], ids=["without usage", "with usage"])
def test_a_stream_is_the_peers_with_its_counts(usage: bool, pair: Pair) -> None:
    theirs = pair.ask_peer().json()
    ours = pair.ask(stream=True, **({"stream_options": {"include_usage": True}} if usage else {}))
    found = events(ours)
    assert {one["model"] for one in found} == {pair.model}
    text = "".join(one["choices"][0]["delta"].get("content") or "" for one in found if one["choices"])
    assert text == theirs["choices"][0]["message"]["content"]
    record = pair.record(ours.headers["x-sluice-request-id"])
    assert [counts(one["usage"]) for one in found if one.get("usage")] == (
        [(record.prompt_tokens, record.completion_tokens)] if usage else []
    )
    if pair.peer.name in COUNTS:
        assert (record.prompt_tokens, record.completion_tokens) == counts(theirs["usage"])
    assert record.estimated is (pair.peer.name not in COUNTS)


def test_text_is_completed_and_counted(pair: Pair) -> None:
    asked = {"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
    theirs, ours = pair.ask_peer("/v1/completions", **asked).json(), pair.ask("/v1/completions", **asked)
    assert ours.status_code == 200, ours.text
    assert ours.json()["model"] == pair.model and ours.json()["choices"][0]["text"] == theirs["choices"][0]["text"]
    if pair.peer.name in COUNTS:
        assert counts(ours.json()["usage"]) == counts(theirs["usage"])
    pair.record(ours.headers["x-sluice-request-id"])


def test_vectors_come_as_the_peer_makes_them_or_its_refusal_does(pair: Pair) -> None:
    theirs, ours = pair.ask_peer("/v1/embeddings", input="Paris"), pair.ask("/v1/embeddings", input="Paris")
    record = pair.record(ours.headers["x-sluice-request-id"])
    if theirs.status_code == 200:
        assert ours.json()["data"] == theirs.json()["data"] and ours.json()["model"] == pair.model
        assert record.prompt_tokens == theirs.json()["usage"]["prompt_tokens"] > 0
    else:
        assert ours.status_code == record.status == 503 and record.total_tokens == 0


def test_a_prompt_that_is_too_long_is_said_to_be_so(pair: Pair) -> None:
    for streamed in (False, True):
        ours = pair.ask(messages=[{"role": "user", "content": "hello " * 40_000}], stream=streamed)
        assert (ours.status_code, ours.json()["error"]["code"]) == (400, "context_length_exceeded"), ours.text


def test_a_prompt_is_counted(pair: Pair) -> None:
    """Exactly where the peer can, else by its bytes."""
    question = {"model": pair.model, "messages": QUESTION["messages"], "max_tokens": 5}
    ours = pair.person.v1("POST", "/v1/messages/count_tokens", json=question)
    assert ours.status_code == 200 and 5 <= ours.json()["input_tokens"] <= 40, ours.text


def test_the_peers_models_have_no_other_names_for_callers(pair: Pair) -> None:
    listed = pair.person.v1("GET", "/v1/models").json()["data"]
    assert sorted(one["id"] for one in listed) == sorted(f"by-{name}" for name in NAMES)
    assert not any(str(MODEL.parent) in json.dumps(one) for one in listed)
    refused = pair.ask(model=pair.peer.model)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
