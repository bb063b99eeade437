"""Servers with OpenAI's API as upstreams of a gateway: llama.cpp's own, llama-cpp-python's, and another Sluice."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sluice.domain.usage.ledger import LedgerRecord
from tests.books import Books
from tests.chaos.slow_engine import SlowEngine
from tests.e2e import people
from tests.e2e.people import Person
from tests.e2e.system import System
from tests.peers.conftest import NewHome, upstream
from tests.peers.servers import MODEL, SLOTS, Peer, llama_cpp_python, llama_server
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("model_servers")
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
        found: LedgerRecord
        (found,) = eventually(lambda: [one for one in self.books.ledger() if one.request_id == request_id])
        assert found.upstream == self.peer.name
        eventually(lambda: not any(grant.leases for grant in self.books.grants()))  # others may be running
        return found


@pytest.fixture(scope="module")
def peers(second: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Peer]]:
    folder = tmp_path_factory.mktemp("peers")
    with ExitStack() as stack:
        found = [stack.enter_context(made(folder)) for made in (llama_server, llama_cpp_python)]
        found.append(stack.enter_context(llama_server(folder, "vectors", "vectors")))
        token = people.newcomer(second.base_url).api_token
        found.append(Peer("sluice", second.base_url, token, model="demo"))
        yield {peer.name: peer for peer in found}


@pytest.fixture(scope="module")
def slow() -> Iterator[SlowEngine]:
    made = SlowEngine(tokens=2_000)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def second(slow: SlowEngine, new_home: NewHome) -> System:
    """Another Sluice: the demo model, and `slow` behind a server of its own."""
    behind = f'[[upstreams]]\nname = "slow"\nkind = "openai"\nurl = "{slow.url}"\n'
    model = '[[models]]\nid = "slow"\nupstreams = ["slow:demo"]\n'
    return new_home('[[upstreams]]\nname = "local"\nkind = "engine"\n' + behind + model)


@pytest.fixture(scope="module")
def home(peers: dict[str, Peer], new_home: NewHome) -> tuple[Person, Books]:
    tables = [upstream(peer) for peer in peers.values()]
    tables += [f'[[models]]\nid = "by-{one.name}"\nupstreams = ["{one.name}:{one.model}"]\n' for one in peers.values()]
    tables.append('[[models]]\nid = "slow"\nupstreams = ["sluice:slow"]\n')
    home = new_home("\n".join(tables), {peer.variable: peer.key for peer in peers.values()})
    return people.newcomer(home.base_url), Books(home)


@pytest.fixture
def pairs(peers: dict[str, Peer], home: tuple[Person, Books]) -> Callable[[str], Pair]:
    return lambda name: Pair(peers[name], *home, f"by-{name}")


@pytest.fixture(params=NAMES)
def pair(request: pytest.FixtureRequest, pairs: Callable[[str], Pair]) -> Pair:
    return pairs(request.param)


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
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
    ours = pair.ask(stream=True, **more)
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


def test_vectors_are_the_peers_and_counted_by_it(pairs: Callable[[str], Pair]) -> None:
    pair = pairs("vectors")
    theirs, ours = (one("/v1/embeddings", input=["Paris", "Rome"]) for one in (pair.ask_peer, pair.ask))
    assert ours.status_code == 200, ours.text
    assert ours.json()["data"] == theirs.json()["data"] and ours.json()["model"] == pair.model
    record = pair.record(ours.headers["x-sluice-request-id"])
    assert record.prompt_tokens == theirs.json()["usage"]["prompt_tokens"] > 0 and not record.estimated


def test_a_peer_that_makes_no_vectors_is_not_available_for_them(pair: Pair) -> None:
    ours = pair.ask("/v1/embeddings", input="Paris")
    if pair.peer.name == "sluice":  # it lists what its models do
        assert ours.status_code == 400 and "does not do embeddings" in ours.json()["error"]["message"]
    else:
        assert ours.status_code == pair.record(ours.headers["x-sluice-request-id"]).status == 503, ours.text


def test_a_prompt_that_is_too_long_is_said_to_be_so(pair: Pair) -> None:
    for streamed in (False, True):
        ours = pair.ask(messages=[{"role": "user", "content": "hello " * 40_000}], stream=streamed)
        told = (ours.status_code, ours.json()["error"]["code"])
        if pair.peer.name == "llama-cpp-python":  # it ends a stream without a word, and all answers are streams to us
            assert told == (503, "model_unavailable")
        else:
            assert told == (400, "context_length_exceeded"), ours.text


def test_a_prompt_is_counted(pair: Pair) -> None:
    """Exactly where the peer can, else by its bytes."""
    question = {"model": pair.model, "messages": QUESTION["messages"], "max_tokens": 5}
    ours = pair.person.v1("POST", "/v1/messages/count_tokens", json=question)
    assert ours.status_code == 200 and 5 <= ours.json()["input_tokens"] <= 40, ours.text


def test_the_peers_models_have_no_other_names_for_callers(pair: Pair) -> None:
    listed = pair.person.v1("GET", "/v1/models").json()["data"]
    assert sorted(one["id"] for one in listed) == [*sorted(f"by-{name}" for name in (*NAMES, "vectors")), "slow"]
    assert not any(str(MODEL.parent) in json.dumps(one) for one in listed)
    refused = pair.ask(model=pair.peer.model)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


def leave_early(pair: Pair, **fields: Any) -> str:
    """Asks for an answer without an end, reads its beginning, and leaves. → the request's id."""
    with pair.ask(stream=True, max_tokens=1_000_000, **fields) as answer:
        assert answer.status_code == 200, answer.text
        assert next(answer.iter_content(1024))
        return str(answer.headers["x-sluice-request-id"])


def without_an_end(llama_server: Peer) -> dict[str, Any]:
    """Forbids the token that ends an answer."""
    asked = {"content": "<|im_end|>", "parse_special": True}
    (token,) = llama_server.call("POST", "/tokenize", json=asked).json()["tokens"]
    return {"logit_bias": {str(token): -100}}


@pytest.mark.parametrize("name", ["llama-server", "llama-cpp-python"])
def test_a_caller_who_leaves_frees_the_peers_slot(
    name: str, pairs: Callable[[str], Pair], peers: dict[str, Peer]
) -> None:
    pair, endless = pairs(name), without_an_end(peers["llama-server"])
    left = [leave_early(pair, **endless) for _ in range(SLOTS + 1)]
    for request_id in left:
        record = pair.record(request_id)
        assert (record.status, record.finish_reason) == (499, "cancelled") and record.completion_tokens > 0
    if name == "llama-server":
        eventually(lambda: not any(slot["is_processing"] for slot in pair.peer.call("GET", "/slots").json()))
    assert pair.ask().status_code == 200, "a server of one slot answers at once"


def test_a_caller_who_leaves_ends_the_answer_at_the_second_sluice_and_at_what_is_behind_it(
    pairs: Callable[[str], Pair], second: System, slow: SlowEngine
) -> None:
    pair, theirs = replace(pairs("sluice"), model="slow"), Books(second)
    before = {one.request_id for one in theirs.ledger()}
    ours = pair.record(leave_early(pair, messages=QUESTION["messages"]))
    (other,) = eventually(lambda: [one for one in theirs.ledger() if one.request_id not in before])
    for record in (ours, other):
        assert (record.status, record.finish_reason) == (499, "cancelled")
        assert 0 < record.completion_tokens < slow.tokens
    eventually(lambda: [one.ended for one in slow.generations] == ["gone"])
    eventually(lambda: not any(grant.leases for grant in theirs.grants()))
