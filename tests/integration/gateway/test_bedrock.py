"""From a caller to Amazon Bedrock and back: signed for `bedrock`, as botocore checks it, and settled."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.credentials import Credentials
from botocore.session import get_session

from sluice import settings
from sluice.adapters.gateway import function_url
from sluice.wiring import peers
from tests.conftest import Store
from tests.fakes.upstream import FakeUpstream
from tests.integration.accounts.world import World
from tests.integration.gateway import bedrock_forms as forms
from tests.integration.gateway.conftest import Person, newcomer
from tests.unit.aws.iam_server import Gate, Reply, iam_server

REGION = "us-west-2"
REAL_UPSTREAM = peers.upstream


@pytest.fixture
def gate(store: Store) -> Iterator[Gate]:
    found = get_session().get_credentials()
    with iam_server(Credentials(found.access_key, found.secret_key, found.token), REGION) as made:
        made.service, made.reply = "bedrock", forms.WHOLE
        yield made


@pytest.fixture
def caller(gate: Gate, world: tuple[World, FakeUpstream, Store], monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    monkeypatch.setenv("SLUICE_INFERENCE_URL", gate.url + "/openai/v1")
    monkeypatch.setenv("SLUICE_INFERENCE_SERVICE", "bedrock")
    monkeypatch.setenv("SLUICE_INFERENCE_MODELS", f"gpt={forms.THEIRS}")
    monkeypatch.setattr(function_url, "_place", lambda url: (None, REGION))
    monkeypatch.setattr(peers, "upstream", REAL_UPSTREAM)
    made = newcomer(world)
    made.body["model"] = "gpt"
    clear()
    yield made
    upstream = REAL_UPSTREAM()
    clear()
    upstream._pool.close()  # type: ignore[attr-defined]


def clear() -> None:
    REAL_UPSTREAM.cache_clear()
    peers.model_health.cache_clear()
    function_url._signer.cache_clear()


def events(answer: Any) -> list[dict[str, Any]]:
    lines = answer.get_data().split(b"\n\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]


def settled(caller: Person) -> dict[str, Any]:
    (record,) = caller.log()
    assert not caller.grant().leases
    return record


def test_a_plain_answer_is_signed_counted_and_bears_the_owners_name(caller: Person, gate: Gate) -> None:
    answer = caller.ask(max_tokens=40)
    assert answer.status_code == 200, answer.json
    assert answer.json["model"] == "gpt"
    assert answer.json["choices"][0]["message"]["content"] == forms.TEXT
    assert answer.json["usage"]["completion_tokens"] == 18
    record = settled(caller)
    assert (record["prompt_tokens"], record["completion_tokens"], record["model"]) == (73, 18, "gpt")
    assert (gate.let_in, gate.refused) == (["/openai/v1/chat/completions"], [])
    (sent,) = gate.bodies
    assert (sent["model"], sent["max_completion_tokens"]) == (forms.THEIRS, 40)
    assert "max_tokens" not in sent
    assert sent["stream"] is True and sent["stream_options"] == {"include_usage": True}


def test_a_stream_arrives_under_the_owners_name_and_ends_settled(caller: Person, gate: Gate) -> None:
    answer = caller.ask(stream=True, stream_options={"include_usage": True})
    found = events(answer)
    assert {one["model"] for one in found} == {"gpt"}
    text = "".join(one["choices"][0]["delta"].get("content") or "" for one in found if one["choices"])
    assert text == forms.TEXT
    assert found[-1]["usage"]["total_tokens"] == 91
    assert answer.get_data().endswith(forms.DONE)
    assert settled(caller)["completion_tokens"] == 18


def test_another_services_signature_is_refused_and_the_caller_hears_only_that_the_model_is_away(
    caller: Person, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    gate.service = "lambda"
    answer = caller.ask()
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "model_unavailable")
    assert gate.refused == ["/openai/v1/chat/completions"]
    assert settled(caller)["status"] == 503
    assert "refuses Sluice, not its caller" in caplog.text


def test_models_are_the_owners_and_nobody_is_asked(caller: Person, gate: Gate) -> None:
    (model,) = caller.client.get("/v1/models", headers=caller.api_token).json["data"]
    assert (model["id"], model["capabilities"]) == ("gpt", ["chat"])
    health = caller.client.get("/healthz")
    assert (health.status_code, health.json) == (200, {"status": "ok", "model": "gpt"})
    assert caller.ask(model=forms.THEIRS).status_code == 404
    assert gate.let_in == []


@pytest.mark.parametrize(
    ("path", "body"), [("completions", {"prompt": "Once"}), ("embeddings", {"input": "Once"})], ids=["text", "vectors"]
)
def test_what_bedrock_does_not_offer_is_said_without_asking_it(
    path: str, body: dict[str, Any], caller: Person, gate: Gate
) -> None:
    issued = caller.call("POST", "/tokens", json={"name": "all", "scopes": ["inference", "embeddings"]}).json
    headers = {"Authorization": f"Bearer {issued['token']}"}
    answer = caller.client.post(f"/v1/{path}", json={"model": "gpt", **body}, headers=headers)
    assert answer.status_code == 400, answer.json
    assert answer.json["error"]["message"] == f"The model 'gpt' does not do {path}."
    assert gate.let_in == []


def test_without_usage_four_bytes_are_a_token(caller: Person, gate: Gate) -> None:
    gate.reply = forms.WITHOUT_USAGE
    answer = caller.ask()
    assert answer.status_code == 200
    record = settled(caller)
    assert record["completion_tokens"] == -(-len(forms.TEXT) // 4)
    assert 5 <= record["prompt_tokens"] <= 40
    told = {name: record[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    assert answer.json["usage"] == told
    with_usage = {"stream": True, "stream_options": {"include_usage": True}}
    last = events(caller.ask(**with_usage))[-1]
    assert (last["choices"], last["usage"], last["model"]) == ([], told, "gpt")
    assert not any(one.get("usage") for one in events(caller.ask(stream=True)))
    response = caller.client.post("/v1/responses", json={"model": "gpt", "input": "Hi"}, headers=caller.api_token)
    assert response.json["usage"]["output_tokens"] == told["completion_tokens"]


def test_usage_beyond_the_reservation_is_charged_as_the_reservation(caller: Person, gate: Gate) -> None:
    usage = {"prompt_tokens": 10**9, "completion_tokens": 10**9, "total_tokens": 2 * 10**9}
    gate.reply = Reply(
        headers=forms.STREAM, parts=(*forms.CHUNKS, forms.event({"choices": [], "usage": usage}), forms.DONE)
    )
    assert caller.ask(max_tokens=20).status_code == 200
    assert settled(caller)["total_tokens"] < 200
    assert caller.ask(max_tokens=20).status_code == 200  # the account is not emptied by it


EXPECTED = {
    "AccessDeniedException": (503, "model_unavailable"),
    "InternalServerException": (503, "model_unavailable"),
    "ModelErrorException": (503, "model_unavailable"),
    "ModelNotReadyException": (503, "overloaded"),
    "ModelStreamErrorException": (503, "model_unavailable"),
    "ModelTimeoutException": (504, "upstream_timeout"),
    "ResourceNotFoundException": (503, "model_unavailable"),
    "ServiceQuotaExceededException": (503, "overloaded"),
    "ServiceUnavailableException": (503, "model_unavailable"),
    "ThrottlingException": (503, "overloaded"),
    "ValidationException": (400, None),
}


def test_botocore_knows_no_other_kind() -> None:
    assert set(forms.kinds()) == set(EXPECTED)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("kind", sorted(EXPECTED))
def test_each_kind_of_error_becomes_ours_and_is_settled_for_nothing(
    kind: str, stream: bool, caller: Person, gate: Gate
) -> None:
    gate.reply = forms.refusal(kind, forms.kinds()[kind], "Something about your request.")
    answer = caller.ask(stream=stream)
    status, code = EXPECTED[kind]
    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)
    assert ("Retry-After" in answer.headers) == (status == 503)
    record = settled(caller)
    assert (record["status"], record["total_tokens"]) == (status, 0)


@pytest.mark.parametrize(
    ("kind", "status", "message", "expected"),
    [
        ("AccessDeniedException", 403, forms.DENIED, 503),
        ("InvalidSignatureException", 403, forms.EXPIRED, 503),
        ("ExpiredTokenException", 403, "The security token included in the request is expired", 503),
        ("UnrecognizedClientException", 403, "The security token included in the request is invalid.", 503),
        ("IncompleteSignature", 400, "Authorization header requires 'Credential' parameter.", 503),
        ("ValidationException", 400, forms.UNKNOWN, 503),
        ("ValidationException", 400, forms.PROFILE, 503),
        ("ValidationException", 400, "Operation not allowed", 503),
        ("ValidationException", 400, "The request for arn:aws:bedrock:us-west-2:123456789012:x is malformed", 400),
    ],
)
def test_what_is_the_owners_is_in_the_log_and_never_in_the_answer(
    kind: str, status: int, message: str, expected: int, caller: Person, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sluice.upstream")
    gate.reply = forms.refusal(kind, status, message)
    answer = caller.ask()
    assert answer.status_code == expected
    assert message in caplog.text
    shown = answer.get_data(as_text=True)
    assert not any(secret in shown for secret in ("arn:", "123456789012", forms.THEIRS, "ignature", "token incl"))


def test_the_callers_own_mistake_is_explained(caller: Person, gate: Gate) -> None:
    message = "This model doesn't support the stopSequences field. Remove stopSequences and try again."
    gate.reply = forms.refusal("ValidationException", 400, message)
    answer = caller.ask(stop=["x"])
    assert (answer.status_code, answer.json["error"]["message"]) == (400, message)


def test_the_wait_that_bedrock_states_is_passed_on(caller: Person, gate: Gate) -> None:
    gate.reply = forms.refusal("ThrottlingException", 429, "Too many requests, please wait.", retry_after="17")
    assert caller.ask().headers["Retry-After"] == "17"


@pytest.mark.parametrize(
    "parts",
    [
        (b"data: <html>\n\n", forms.DONE),
        (b"data: []\n\n", forms.DONE),
        (b'data: {"choices":7}\n\n', forms.DONE),
        (b'data: {"choices":[null]}\n\n', forms.DONE),
        (b'data: {"error":"overloaded"}\n\n', forms.DONE),
        (b"data: " + b"[" * 200_000 + b"\n\n", forms.DONE),
        forms.CHUNKS[:3],
    ],
    ids=["html", "list", "number", "null", "error", "deep", "cut off"],
)
def test_garbage_is_a_503_and_settled_once(parts: tuple[bytes, ...], caller: Person, gate: Gate) -> None:
    gate.reply = Reply(headers=forms.STREAM, parts=parts, end=parts[-1] == forms.DONE)
    answer = caller.ask()
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "model_unavailable")
    assert settled(caller)["status"] == 503


@pytest.mark.slow
def test_a_revoked_tokens_stream_ends_while_the_model_is_silent(caller: Person, gate: Gate) -> None:
    """Bedrock sends no pings, so the gateway takes its turns without them. Without these its 30 s for silence would end
    the stream by another error."""
    gate.reply = Reply(headers=forms.STREAM, parts=(*forms.CHUNKS[:2], 60.0, *forms.CHUNKS[2:], forms.DONE))
    body = {**caller.body, "stream": True}
    answer = caller.client.post("/v1/chat/completions", json=body, headers=caller.api_token, buffered=False)
    blocks = answer.iter_encoded()
    next(blocks)
    assert caller.call("POST", f"/tokens/{caller.token_id}/revoke").status_code == 200
    assert b"invalid_api_key" in b"".join(blocks)
    answer.close()
    assert 0 < settled(caller)["completion_tokens"] < 18


@pytest.mark.slow
def test_a_model_that_falls_silent_for_good_is_a_504(
    caller: Person, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_UPSTREAM_IDLE_SECONDS", "3")
    settings.gateway.cache_clear()
    gate.reply = Reply(headers=forms.STREAM, parts=(*forms.CHUNKS[:2], 6.0, forms.DONE))
    assert caller.ask().status_code == 504
    assert settled(caller)["status"] == 504


def test_a_whole_answer_ends_before_a_silent_connection_is_cut(
    caller: Person, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API Gateway cuts a connection that is silent for five minutes."""
    monkeypatch.setenv("SLUICE_WHOLE_ANSWER_SECONDS", "2")
    settings.gateway.cache_clear()
    gate.reply = Reply(headers=forms.STREAM, parts=(*forms.CHUNKS[:2], 3.0, *forms.CHUNKS[2:], forms.USAGE, forms.DONE))
    answer = caller.ask()
    assert answer.status_code == 504 and "streamed" in answer.json["error"]["message"]
    assert caller.ask(stream=True).get_data().endswith(forms.DONE)
    assert {one["status"] for one in caller.log()} == {504, 200}
