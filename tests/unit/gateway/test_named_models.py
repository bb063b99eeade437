"""A model server whose models the owner names: it gets its own names, and callers see the owner's."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.credentials import Credentials

from sluice.adapters.gateway.function_url import sign_for
from sluice.adapters.gateway.named_models import NamedModels
from sluice.domain.errors import ModelUnavailable
from sluice.ports.gateway import UpstreamCall
from sluice.settings import model_names
from tests.unit.aws.iam_server import Gate, Reply, iam_server

KEYS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


@pytest.fixture
def gate() -> Iterator[Gate]:
    with iam_server(Credentials(*KEYS), "eu-central-1") as made:
        yield made


@pytest.fixture
def server(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[NamedModels]:
    from sluice.adapters.gateway import function_url

    for name, value in zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), KEYS, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "eu-central-1")
    function_url._signer.cache_clear()
    gate.service = "execute-api"
    sign = sign_for(gate.url, "iam", "execute-api")
    made = NamedModels(gate.url, {"ours": "theirs"}, chat_only=False, connect_seconds=2.0, idle_seconds=5.0, sign=sign)
    yield made
    made._pool.close()
    function_url._signer.cache_clear()


def call(**more: Any) -> UpstreamCall:
    body = {"model": "ours", "input": "x", "max_tokens": 5, **more}
    return UpstreamCall("/v1/embeddings", body, request_id="req_1", account_id="usr_1", deadline_seconds=5.0)


def test_the_server_gets_its_name_and_the_answer_has_ours(server: NamedModels, gate: Gate) -> None:
    gate.reply = Reply(body=json.dumps({"data": [], "model": "theirs"}).encode())
    assert server.fetch(call())["model"] == "ours"
    assert (gate.bodies[0]["model"], gate.bodies[0]["max_tokens"]) == ("theirs", 5)


def test_text_that_looks_like_the_name_is_left_alone(server: NamedModels, gate: Gate) -> None:
    said = {"model": "theirs", "choices": [{"delta": {"content": '"model":"theirs" theirs'}}]}
    for shown in (json.dumps(said), json.dumps(said, separators=(",", ":"))):
        gate.reply = Reply(parts=(b"data: " + shown.encode() + b"\n\ndata: [DONE]\n\n",))
        (payload,) = server.open(call())
        assert json.loads(payload) == said | {"model": "ours"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_name_that_leads_nowhere_is_not_the_callers_mistake(server: NamedModels, gate: Gate, stream: bool) -> None:
    gate.reply = Reply(404, body=b'{"error": {"code": "model_not_found", "message": "no theirs"}}')
    with pytest.raises(ModelUnavailable):
        server.open(call()) if stream else server.fetch(call())


def test_other_servers_state_no_capabilities(server: NamedModels, gate: Gate) -> None:
    assert server.models() == [{"id": "ours", "object": "model", "created": 0, "owned_by": ""}]
    assert (server.health(), gate.let_in) == ({"http_status": 404}, [])


def test_names_are_read_in_order_and_may_have_colons() -> None:
    assert model_names("") == {}
    assert model_names("a=x.y-1:0, x.z:0 ,") == {"a": "x.y-1:0", "x.z:0": "x.z:0"}


@pytest.mark.parametrize("text", ["=x", "a b", "a=b c", "a,a", "ä", "a=" + "x" * 257, "b\nc"])
def test_names_that_could_not_be_sent_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NAME=THEIRS"):
        model_names(text)
