"""The main path from outside: a new person gets an API token, and the official SDK gets metered answers."""

import time
from typing import Any

import openai
import pytest
import requests

from sluice.http.gateway.requests import ChatBody
from sluice.services.gateway.gateway import TEMPLATE_TOKENS
from tests.e2e import people
from tests.e2e.people import Person, ask
from tests.e2e.place import Place

pytestmark = pytest.mark.e2e
PARAGRAPH = "Explain what an API is."


@pytest.fixture(scope="module")
def person(system: Place) -> Person:
    return people.newcomer(system.base_url)


def test_the_sdk_lists_the_models(person: Person) -> None:
    assert "demo" in [model.id for model in person.openai.models.list()]
    assert person.openai.models.retrieve("demo").id == "demo"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the capital of France?", "The capital of France is Paris."),
        ("What is 3 + 4?", "7"),
        ("What is 9 + 8?", "17"),
    ],
)
def test_the_sdk_gets_true_answers(person: Person, question: str, answer: str) -> None:
    done = person.openai.chat.completions.create(model="demo", messages=[{"role": "user", "content": question}])
    assert done.choices[0].message.content == answer
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 0


def test_the_sdk_streams_and_the_pieces_are_the_answer(person: Person) -> None:
    messages: Any = [{"role": "user", "content": PARAGRAPH}]
    whole = person.openai.chat.completions.create(model="demo", messages=messages)
    chunks = list(
        person.openai.chat.completions.create(
            model="demo", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert len(chunks) > 100
    assert chunks[-1].usage is not None and whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert not any(chunk.usage for chunk in chunks[:-1])


def test_without_include_usage_no_chunk_has_usage_and_the_stream_ends_with_done(person: Person) -> None:
    answer = ask(person, "What is 3 + 4?", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [line for line in answer.text.split("\n\n") if line]
    assert events[-1] == "data: [DONE]"
    assert '"usage":{' not in answer.text


def test_completions_continue_a_text(person: Person) -> None:
    done = person.openai.completions.create(model="demo", prompt="What is", max_tokens=5)
    assert done.usage is not None and done.usage.completion_tokens == 5
    assert done.choices[0].finish_reason == "length"
    pieces = list(person.openai.completions.create(model="demo", prompt="What is", max_tokens=5, stream=True))
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == done.choices[0].text


def test_the_sdk_raises_its_own_errors(person: Person) -> None:
    create = person.openai.chat.completions.create
    with pytest.raises(openai.NotFoundError) as unknown:
        create(model="nope", messages=[{"role": "user", "content": "hi"}])
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        create(model="demo", messages=[{"role": "user", "content": "word " * 2000}])
    assert long.value.code == "context_length_exceeded"
    stranger = people.sdk(person.base_url, "nonsense")
    with pytest.raises(openai.AuthenticationError) as foreign:
        stranger.models.list()
    assert foreign.value.code == "invalid_api_key"


def test_headers_tell_the_limits_and_the_request_ids(person: Person) -> None:
    answer = ask(person, "What is 3 + 4?", max_tokens=4)
    own = person.v1(
        "POST",
        "/v1/chat/completions",
        json={"model": "demo", "messages": [{"role": "user", "content": "What is 3 + 4?"}]},
        headers={"x-request-id": "mine-1"},
    )
    for name in ("requests", "tokens"):
        assert int(answer.headers[f"x-ratelimit-limit-{name}"]) > 0
        assert int(answer.headers[f"x-ratelimit-remaining-{name}"]) >= 0
        assert answer.headers[f"x-ratelimit-reset-{name}"].endswith("s")
    assert answer.headers["x-request-id"] == answer.headers["x-sluice-request-id"]
    assert own.headers["x-request-id"] == "mine-1"
    assert own.headers["x-sluice-request-id"].startswith("req_")


def test_each_request_is_in_the_callers_log_with_its_content(system: Place) -> None:
    person = people.newcomer(system.base_url)
    plain = ask(person, "What is 3 + 4?")
    streamed = ask(person, "What is the capital of France?", stream=True)
    log = person.call("GET", "/usage/logs").json()
    newest, oldest = log["data"]
    assert log["next_cursor"] is None
    assert newest["id"] == streamed.headers["x-sluice-request-id"]
    assert oldest["id"] == plain.headers["x-sluice-request-id"]
    assert (newest["stream"], oldest["stream"]) == (True, False)
    usage = plain.json()["usage"]
    assert {key: oldest[key] for key in usage if key in oldest} == {k: v for k, v in usage.items() if k in oldest}
    for entry in (newest, oldest):
        assert entry["endpoint"] == "chat.completions" and entry["model"] == "demo"
        assert entry["token_id"] == person.token_id and entry["status"] == 200
        assert entry["finish_reason"] == "stop" and entry["response_time_ms"] >= entry["ttft_ms"] >= 0
        assert entry["estimated_cost_usd"] is None
        assert entry["created_at"].endswith("Z")
    assert oldest["response"] == "7" and "What is 3 + 4?" in oldest["prompt"]
    assert newest["response"] == "The capital of France is Paris."


def test_usage_is_exact_at_once_and_after_the_roll_up(system: Place) -> None:
    person = people.newcomer(system.base_url)
    answers = [ask(person, f"What is {n} + 4?").json()["usage"] for n in range(1, 6)]
    expected = {
        "requests": 5,
        "prompt_tokens": sum(usage["prompt_tokens"] for usage in answers),
        "completion_tokens": sum(usage["completion_tokens"] for usage in answers),
    }
    for _ in range(20):  # before, while and after metering folds the records
        total = person.call("GET", "/usage").json()["total"]
        assert {key: total[key] for key in expected} == expected
        time.sleep(0.1)
    grouped = person.call("GET", "/usage", params={"group_by": "token"}).json()
    assert [row["key"] for row in grouped["data"]] == [person.token_id]
    account = person.call("GET", "/account").json()
    assert account["usage"]["requests"] == 5
    assert account["usage"]["tokens"] == expected["prompt_tokens"] + expected["completion_tokens"]


def test_a_revoked_token_is_refused_on_the_next_request(system: Place) -> None:
    person = people.newcomer(system.base_url)
    assert ask(person, "What is 3 + 4?").status_code == 200
    assert person.call("POST", f"/tokens/{person.token_id}/revoke").status_code == 200
    refused = ask(person, "What is 3 + 4?")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "revoked" in refused.json()["error"]["message"]
    assert person.v1("GET", "/v1/models").status_code == 401


def test_a_schema_that_is_not_enforced_is_a_400_that_names_keyword_place_and_field(person: Person) -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#M"}}, "$defs": {"N": {"$anchor": "N"}}}
    function = {"name": "f", "parameters": schema}
    tools = [{"type": "function", "function": {"name": "g"}}, {"type": "function", "function": function}]
    asked: list[tuple[str, dict[str, Any], str]] = [
        ("chat/completions", {"response_format": wanted(schema)}, "response_format"),
        ("chat/completions", {"response_format": wanted(schema), "stream": True}, "response_format"),
        ("chat/completions", {"tools": tools, "tool_choice": "required"}, "tools[1].function.parameters"),
        ("responses", {"text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}}, "text.format"),
        ("responses", {"tools": [{"type": "function", **function}], "tool_choice": "required"}, "tools[0].parameters"),
    ]
    for path, fields, param in asked:
        prompt = {"input": "hi"} if path == "responses" else {"messages": [{"role": "user", "content": "hi"}]}
        answer = person.v1("POST", f"/v1/{path}", json={"model": "demo", **prompt, **fields})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_schema", param)
        assert "#/properties/a has a `$ref`" in error["message"]


def wanted(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def test_session_tokens_and_api_tokens_are_not_interchangeable(person: Person) -> None:
    swapped = Person(person.base_url, "", "", session_token=person.api_token, api_token=person.session_token)
    assert swapped.call("GET", "/account").status_code == 401
    refused = ask(swapped, "hi")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


def test_an_api_token_is_limited_to_its_models_and_scopes(person: Person) -> None:
    narrow = person.mint(scopes=["embeddings"])
    limited = Person(person.base_url, "", "", "", api_token=narrow["token"])
    refused = ask(limited, "hi")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_scope")
    other = person.mint(models=["another"])
    limited = Person(person.base_url, "", "", "", api_token=other["token"])
    refused = ask(limited, "hi")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    assert limited.v1("GET", "/v1/models").json()["data"] == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "king", "content": "hi"}]}, "messages[0].role"),
        ({"model": 5}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": "x"}, "top_p"),
        ({"n": 5}, "n"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_field_of_the_wrong_form_is_a_400_that_names_it(person: Person, change: dict[str, Any], param: str) -> None:
    refused = person.v1(
        "POST",
        "/v1/chat/completions",
        json={"model": "demo", "messages": [{"role": "user", "content": "hi"}], **change},
    )
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_bodies_that_are_invalid_json_too_large_or_of_another_type(person: Person) -> None:
    def send(body: bytes, kind: str = "application/json") -> requests.Response:
        return person.v1("POST", "/v1/chat/completions", data=body, headers={"Content-Type": kind})

    malformed = send(b'{"model": ')
    assert (malformed.status_code, malformed.json()["error"]["code"]) == (400, "invalid_json")
    large = send(b'{"x":"' + b"a" * (1024 * 1024) + b'"}')
    assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
    other = send(b"{}", "text/plain")
    assert (other.status_code, other.json()["error"]["code"]) == (415, "unsupported_media_type")
    nested = send(b"[" * 100_000)
    assert nested.status_code == 400


@pytest.mark.one_machine("API Gateway answers these, in both formats at once", proxied=True)
def test_unknown_addresses_and_methods_get_the_error_format_of_their_api(person: Person) -> None:
    unknown = person.v1("GET", "/v1/nothing")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    wrong = person.v1("DELETE", "/v1/chat/completions")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    account = requests.get(person.base_url + "/nothing", timeout=people.TIMEOUT_SECONDS)
    assert account.headers["content-type"] == "application/problem+json"
    assert (account.status_code, account.json()["code"]) == (404, "not_found")
    assert account.json()["request_id"] == account.headers["x-request-id"]


def test_unknown_fields_are_ignored(person: Person) -> None:
    assert ask(person, "What is 3 + 4?", frobnicate={"deep": [1]}, service_tier="auto").status_code == 200


def test_the_responses_api_continues_a_stored_conversation(person: Person) -> None:
    client = person.openai
    first = client.responses.create(model="demo", input="What is the capital of France?")
    assert first.output_text == "The capital of France is Paris."
    events = list(
        client.responses.create(model="demo", input="What is 3 + 4?", previous_response_id=first.id, stream=True)
    )
    done = events[-1]
    assert done.type == "response.completed"
    assert client.responses.retrieve(done.response.id).output_text == done.response.output_text
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_a_stored_response_is_visible_only_to_its_owner(system: Place, person: Person) -> None:
    mine = person.openai.responses.create(model="demo", input="What is 3 + 4?")
    other = people.newcomer(system.base_url)
    with pytest.raises(openai.NotFoundError):
        other.openai.responses.retrieve(mine.id)
    with pytest.raises(openai.NotFoundError):
        other.openai.responses.create(model="demo", input="hi", previous_response_id=mine.id)
    kept_out = person.openai.responses.create(model="demo", input="What is 3 + 4?", store=False)
    with pytest.raises(openai.NotFoundError):
        person.openai.responses.retrieve(kept_out.id)


def test_embeddings_as_floats_and_base64(person: Person) -> None:
    name = next(m.id for m in person.openai.models.list() if "embeddings" in (m.model_extra or {})["capabilities"])
    plain = person.v1("POST", "/v1/embeddings", json={"model": name, "input": ["hello", "there"]}).json()
    assert [row["index"] for row in plain["data"]] == [0, 1]
    vector = plain["data"][0]["embedding"]
    assert abs(sum(x * x for x in vector) - 1) < 1e-3
    decoded = person.openai.embeddings.create(model=name, input=["hello", "there"])  # the SDK asks for base64
    assert decoded.data[0].embedding == pytest.approx(vector, abs=1e-6)
    short = person.openai.embeddings.create(model=name, input="hello", dimensions=8)
    assert len(short.data[0].embedding) == 8


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "hi"}]},
        {"messages": [{"role": "user", "content": "日本語のテスト 🙂 <|im_start|>"}]},
        {"messages": [{"role": "system", "content": "x"}, *[{"role": "user", "content": "?"}] * 30]},
        {
            "messages": [{"role": "user", "content": "What is 3 + 4?"}],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        },
    ],
)
def test_the_reservation_is_a_safe_bound_of_the_prompt(person: Person, body: dict[str, Any]) -> None:
    """The gateway's estimate from bytes is never less than the engine's count."""
    checked = ChatBody.model_validate({"model": "demo", **body})
    answer = person.v1("POST", "/v1/chat/completions", json={"model": "demo", "max_tokens": 1, **body})
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["prompt_tokens"] <= checked.token_bound() + TEMPLATE_TOKENS
