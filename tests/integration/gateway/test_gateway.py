"""The gateway on a real store: every endpoint, every refusal, and the ledger afterwards."""

import gc
import json
from typing import Any

import pytest

from sluice.domain.errors import ModelUnavailable, Overloaded, StoreUnavailable, UpstreamTimeout
from sluice.domain.gateway.chunks import Transcript
from sluice.http.gateway.messages import MESSAGE_TOKENS
from sluice.http.gateway.requests import PREFIX_TOKENS, ChatBody, EmbeddingBody
from sluice.http.gateway.streaming import DONE
from sluice.services.gateway.exchange import Exchange
from sluice.services.gateway.gateway import TEMPLATE_TOKENS
from sluice.wiring import stores
from tests.fakes.upstream import FakeClock, chunk, usage_chunk
from tests.integration.aws.cost.meter import metered
from tests.integration.gateway.conftest import ANSWER, Person
from tests.waiting import eventually


def refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]["code"]


def test_an_answer_is_settled_and_logged_and_has_the_rate_limit_headers(person: Person, still: FakeClock) -> None:
    answer = person.ask()
    assert answer.status_code == 200
    assert answer.json["choices"][0]["message"]["content"] == "Paris"
    (entry,) = person.log()
    assert (entry["prompt_tokens"], entry["completion_tokens"], entry["status"]) == (10, 2, 200)
    assert entry["response"] == "Paris" and "Capital of France?" in entry["prompt"]
    assert answer.headers["x-ratelimit-remaining-requests"] == "59"
    assert answer.headers["x-ratelimit-remaining-tokens"] == str(40_000 - 12)
    grant = person.grant()
    assert (grant.leases, grant.period_tokens) == ({}, 12)


@pytest.mark.parametrize("refused_write", ["put_record", "release"])
def test_an_answer_that_ends_while_the_store_takes_no_write_is_charged_exactly_and_once(
    person: Person, monkeypatch: pytest.MonkeyPatch, refused_write: str
) -> None:
    store, full = stores.hot_store(), [True]
    write = getattr(store, refused_write)

    def taken_later(*arguments: Any) -> Any:
        if full:
            raise StoreUnavailable()
        return write(*arguments)

    monkeypatch.setattr(store, refused_write, taken_later)
    assert person.ask().status_code == 200
    assert len(person.grant().leases) == 1
    full.clear()
    eventually(lambda: not person.grant().leases)
    (entry,) = person.log()
    assert (entry["prompt_tokens"], entry["completion_tokens"], entry["status"]) == (10, 2, 200)
    assert person.grant().period_tokens == 12


@pytest.mark.parametrize("stream", [False, True])
def test_on_one_machine_a_request_makes_two_calls_of_the_store(
    person: Person, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(stores.hot_store(), "settles_at_once", True)
    assert person.ask().status_code == 200  # so that the process knows the account
    with metered(person.store.prefix, monkeypatch) as meter:
        assert person.ask(stream=stream).data
    assert meter.calls == 2
    entry, _ = person.log()
    assert (entry["response"], entry["status"], entry["total_tokens"]) == ("Paris", 200, 12)
    assert (person.grant().leases, person.grant().period_tokens) == ({}, 24)


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_holds_nothing_once_it_is_over(person: Person, stream: bool) -> None:
    """Without waiting for Python's search for circles: a prompt may have megabytes of images."""

    def held() -> list[object]:
        return [one for one in gc.get_objects() if isinstance(one, Exchange | ChatBody)]

    gc.collect()
    gc.disable()
    try:
        before = held()  # by other tests of this process
        assert person.ask(stream=stream).data
        person.upstream.calls.clear()
        assert len(held()) == len(before)
    finally:
        gc.enable()


@pytest.mark.parametrize("answers", ["refused", "lost", "made, and lost"])
def test_on_one_machine_a_settlement_that_fails_at_once_is_made_by_two_writes(
    person: Person, monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    store: Any = stores.hot_store()
    monkeypatch.setattr(store, "settles_at_once", True)
    settled, failures = store.settle, [answers]

    def settles(*about: Any) -> bool:
        if not failures:
            return bool(settled(*about))
        if failures.pop() == "refused":
            return False
        if answers == "made, and lost":
            settled(*about)
        raise StoreUnavailable()

    monkeypatch.setattr(store, "settle", settles)
    assert person.ask().status_code == 200
    (entry,) = person.log()
    assert (entry["response"], entry["status"], entry["total_tokens"]) == ("Paris", 200, 12)
    assert (person.grant().leases, person.grant().period_tokens) == ({}, 12)


def test_on_one_machine_an_answer_whose_text_cannot_be_read_is_settled(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores.hot_store(), "settles_at_once", True)

    def unreadable(self: Transcript) -> str:
        raise ValueError("no JSON")

    monkeypatch.setattr(Transcript, "text", unreadable)
    person.ask()
    (entry,) = person.log()
    assert ("response" in entry, entry["status"], entry["total_tokens"]) == (False, 200, 12)
    assert person.grant().leases == {}


def test_only_known_parameters_are_passed_to_the_model(person: Person) -> None:
    person.ask(temperature=0.5, frobnicate=1, user="me", max_completion_tokens=7, response_format={"type": "text"})
    (call,) = person.upstream.calls
    assert call.body == {
        "messages": [{"role": "user", "content": "Capital of France?"}],
        "model": "demo",
        "temperature": 0.5,
        "response_format": {"type": "text"},
        "max_tokens": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_stream_passes_on_the_models_chunks(person: Person) -> None:
    answer = person.ask(stream=True)
    assert answer.mimetype == "text/event-stream"
    assert answer.data.endswith(DONE)
    assert answer.data.count(b"data: ") == 4  # two pieces, the finish and [DONE], because the usage was not requested


@pytest.mark.parametrize(
    ("failure", "wanted"),
    [
        (ModelUnavailable(), (503, "model_unavailable")),
        (Overloaded(retry_after_seconds=9), (503, "overloaded")),
        (UpstreamTimeout(), (504, "upstream_timeout")),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_of_the_model_releases_the_reservation(
    person: Person, failure: Exception, wanted: tuple[int, str], stream: bool
) -> None:
    person.script(failure)
    answer = person.ask(stream=stream)
    assert refused(answer) == wanted
    if wanted[0] == 503:
        assert int(answer.headers["Retry-After"]) >= 1
    (entry,) = person.log()
    assert entry["status"] == wanted[0]
    grant = person.grant()
    assert grant.leases == {} and grant.period_tokens == entry["total_tokens"]


def test_a_model_server_that_is_down_is_a_503_and_leaves_a_record(person: Person) -> None:
    person.upstream.down = False
    assert person.ask().status_code == 200
    person.upstream.down = True
    assert refused(person.ask()) == (503, "model_unavailable")
    assert [entry["status"] for entry in person.log()] == [503, 200]


def test_a_failure_during_a_stream_is_an_error_event_without_done(person: Person) -> None:
    person.script(chunk("Pa"), ModelUnavailable())
    answer = person.ask(stream=True)
    assert answer.status_code == 200
    assert b'"code":"model_unavailable"' in answer.data and DONE not in answer.data
    (entry,) = person.log()
    assert (entry["status"], entry["response"]) == (503, "Pa")


def test_a_revoked_token_gets_401_before_its_body_is_validated(person: Person) -> None:
    assert person.call("POST", f"/tokens/{person.token_id}/revoke").status_code == 200
    assert refused(person.ask(messages=[])) == (401, "invalid_api_key")
    assert refused(person.ask()) == (401, "invalid_api_key")
    assert person.client.get("/v1/models", headers=person.api_token).status_code == 401


def test_content_is_stored_only_if_the_account_allows_it(person: Person) -> None:
    person.store.client.update_item(
        TableName=person.store.prefix + "grants",
        Key={"account_id": {"S": person.account_id}},
        UpdateExpression="SET store_content = :no",
        ExpressionAttributeValues={":no": {"BOOL": False}},
    )
    person.ask()
    (entry,) = person.log()
    assert entry.get("prompt") is None and entry.get("response") is None
    assert entry["total_tokens"] == 12


def test_a_long_answer_is_stored_up_to_16_kb(person: Person) -> None:
    person.script(*[chunk("word ")] * 5000, *ANSWER[2:])
    assert person.ask(stream=True).data.endswith(DONE)
    (entry,) = person.log()
    assert 15_000 < len(entry["response"].encode()) <= 16 * 1024


def test_missing_malformed_and_foreign_tokens_are_401(person: Person) -> None:
    for header in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}, person.session):
        answer = person.client.post("/v1/chat/completions", json=person.body, headers=header)
        assert refused(answer) == (401, "invalid_api_key")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_valid_client_request_id_is_returned_but_the_ledger_uses_our_own(person: Person) -> None:
    for sent, kept in (("abc-1.2_3", True), ("x" * 65, False), ("a b", False)):
        headers = {**person.api_token, "x-request-id": sent}
        answer = person.client.post("/v1/chat/completions", json=person.body, headers=headers)
        assert (answer.headers["x-request-id"] == sent) is kept
        assert person.log()[0]["id"] == answer.headers["x-sluice-request-id"]


def test_a_place_is_free_again_after_every_kind_of_end(person: Person) -> None:
    from sluice.wiring.gateway import v1_places

    def free_places() -> int:
        return int(v1_places()._free._value)

    before = free_places()
    person.ask().close()
    person.ask(stream=True).close()  # not read
    person.ask(model="nope").close()
    person.script(ModelUnavailable())
    person.ask(stream=True).close()
    person.client.get("/v1/models").close()
    assert free_places() == before


def test_responses_are_stored_continued_and_visible_to_their_owner_only(person: Person, other: Person) -> None:
    def post(someone: Person, **body: Any) -> Any:
        return someone.client.post("/v1/responses", json={"model": "demo", **body}, headers=someone.api_token)

    first = post(person, input="Capital of France?", instructions="Be brief.")
    assert first.status_code == 200
    identifier = first.json["id"]
    assert first.json["output"][0]["content"][0]["text"] == "Paris"
    assert first.json["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 12,
    }
    post(person, input="And of Spain?", previous_response_id=identifier)
    assert person.upstream.calls[-1].body["messages"] == [
        {"role": "user", "content": "Capital of France?"},
        {"role": "assistant", "content": "Paris"},
        {"role": "user", "content": "And of Spain?"},
    ]
    assert refused(post(other, input="hi", previous_response_id=identifier)) == (404, "not_found")
    for method in ("GET", "DELETE"):
        answer = other.client.open(f"/v1/responses/{identifier}", method=method, headers=other.api_token)
        assert refused(answer) == (404, "not_found")
    deleted = person.client.delete(f"/v1/responses/{identifier}", headers=person.api_token)
    assert deleted.json == {"id": identifier, "object": "response", "deleted": True}
    assert person.client.get(f"/v1/responses/{identifier}", headers=person.api_token).status_code == 404
    kept_out = post(person, input="x", store=False).json["id"]
    assert person.client.get(f"/v1/responses/{kept_out}", headers=person.api_token).status_code == 404


def test_embeddings_are_charged_for_their_prompt(person: Person) -> None:
    person.upstream.capabilities = ["chat", "completions", "embeddings"]
    body = {"model": "demo", "input": ["hello", "there"]}
    answer = person.client.post("/v1/embeddings", json=body, headers=person.api_token)
    assert answer.status_code == 200
    (entry,) = person.log()
    assert (entry["endpoint"], entry["prompt_tokens"], entry["completion_tokens"]) == ("embeddings", 3, 0)
    for wrong in ("", [], [""], [1, 2], {"a": 1}):
        answer = person.client.post("/v1/embeddings", json={**body, "input": wrong}, headers=person.api_token)
        assert (answer.status_code, answer.json["error"]["param"]) == (400, "input")


def test_the_retries_of_an_sdk_are_one_calls_in_the_log(person: Person) -> None:
    """Three requests, three records, each charged; but they say that they are one call's (FIELD 3)."""

    def ask(attempt: str, content: str = "a") -> str:
        headers = {**person.api_token, "x-stainless-retry-count": attempt}
        body = {**person.body, "messages": [{"role": "user", "content": content}]}
        answer = person.client.post("/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200
        return str(answer.headers["x-sluice-request-id"])

    first, second, third = ask("0"), ask("1"), ask("2")
    other, again, garbage = ask("0", "b"), ask("0"), ask("-1")
    entries = {entry["id"]: (entry.get("call_id"), entry.get("retry_count")) for entry in person.log()}
    assert entries == {
        first: (first, 0),
        second: (first, 1),
        third: (first, 2),
        other: (other, 0),
        again: (again, 0),
        garbage: (None, None),
    }
    page = person.call("GET", "/usage/logs?limit=4").json
    assert page is not None and page["data"][-1]["id"] == third
    assert page["data"][-1]["call_id"] == first  # which is on the next page


def test_choices_are_one_request_one_record_and_reserved_together(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(index: int, text: str | None, reason: str | None = None) -> bytes:
        found = json.loads(chunk(text, reason))
        found["choices"][0]["index"] = index
        return json.dumps(found, separators=(",", ":")).encode()

    person.script(of(0, "Pa"), of(1, "Li"), of(0, None, "stop"), of(1, "lle"), of(1, None, "stop"), usage_chunk(10, 4))
    reserved: list[int] = []
    opened = person.upstream.open

    def looked_at(call: Any) -> Any:
        reserved.extend(lease.reserved_tokens for lease in person.grant().leases.values())
        return opened(call)

    monkeypatch.setattr(person.upstream, "open", looked_at)
    answer = person.ask(n=2, max_tokens=50)
    assert 2 * 50 < reserved[0] < 2 * 50 + 200
    assert [one["message"]["content"] for one in answer.json["choices"]] == ["Pa", "Lille"]
    assert (person.upstream.calls[0].body["n"], person.upstream.calls[0].body["max_tokens"]) == (2, 50)
    streamed = person.ask(n=2, stream=True, stream_options={"include_usage": True}).text
    sent = [json.loads(block[6:]) for block in streamed.split("\n\n") if block.startswith("data: {")]
    assert [one["choices"][0]["index"] for one in sent[:-1]] == [0, 1, 0, 1, 1]
    assert all(one["usage"] is None for one in sent[:-1]) and sent[-1]["usage"]["completion_tokens"] == 4
    assert [(one["prompt_tokens"], one["completion_tokens"]) for one in person.log()] == [(10, 4), (10, 4)]
    assert person.log()[0]["response"] == "Pa\n\nLille"
    assert person.grant().period_tokens == 28
    assert refused(person.ask(n=5))[0] == 400


def test_a_list_of_prompts_is_one_request_and_best_of_is_refused_by_name(person: Person) -> None:
    def complete(**fields: Any) -> Any:
        return person.client.post("/v1/completions", json={"model": "demo", **fields}, headers=person.api_token)

    for prompt in (["a", "b"], [[1, 2], [3]], [1, 2]):
        assert complete(prompt=prompt).status_code == 200
        assert person.upstream.calls[-1].body["prompt"] == prompt
    assert len(person.log()) == 3
    assert "best_of" in complete(prompt="a", best_of=2).json["error"]["message"]
    assert refused(complete(prompt=["a"] * 65))[0] == refused(complete(prompt=[]))[0] == 400


def test_tokens_for_an_embedding_are_refused_with_the_way_out(person: Person) -> None:
    body = {"model": "all-minilm-l6-v2", "input": [[57668, 53901]]}
    answer = person.client.post("/v1/embeddings", json=body, headers=person.api_token)
    assert answer.status_code == 400 and "check_embedding_ctx_length=False" in answer.json["error"]["message"]


def test_a_score_reserves_its_prompt_only_and_an_empty_answer_is_refused_by_name(person: Person) -> None:
    def complete(**fields: Any) -> Any:
        return person.client.post("/v1/completions", json={"model": "demo", **fields}, headers=person.api_token)

    held: list[int] = []
    scored = {"text": "Hi", "logprobs": {"tokens": ["H", "i"], "token_logprobs": [None, -1.5]}}
    first = {"object": "text_completion", "choices": [{"index": 0, "finish_reason": None, **scored}]}
    last = {"object": "text_completion", "choices": [{"index": 0, "text": "", "finish_reason": "length"}]}
    reserved = lambda: held.append(next(iter(person.grant().leases.values())).reserved_tokens)  # noqa: E731
    person.script(
        reserved, *(json.dumps(one, separators=(",", ":")).encode() for one in (first, last)), usage_chunk(2, 0)
    )
    answer = complete(prompt="Hi", echo=True, logprobs=1, max_tokens=0)
    assert answer.status_code == 200
    assert answer.json["choices"][0]["logprobs"] == scored["logprobs"]
    assert person.upstream.calls[-1].body["max_tokens"] == 0
    assert held[0] < 2 * TEMPLATE_TOKENS, "the prompt and what a template may add, and nothing for an answer"
    refusal = complete(prompt="Hi", max_tokens=0).json["error"]
    assert (refusal["param"], refusal["type"]) == ("max_tokens", "invalid_request_error")
    assert len(person.log()) == 1


def test_a_suffix_goes_to_the_model_with_each_prompt_and_is_reserved(person: Person) -> None:
    def complete(**fields: Any) -> Any:
        return person.client.post("/v1/completions", json={"model": "demo", **fields}, headers=person.api_token)

    held: list[int] = []
    person.script(lambda: held.append(next(iter(person.grant().leases.values())).reserved_tokens), *ANSWER)
    for suffix in ("", "x" * 100):
        assert complete(prompt=["a", "b"], suffix=suffix, max_tokens=5).status_code == 200
    assert held[1] - held[0] == 2 * (100 + MESSAGE_TOKENS)
    first, second = (call.body for call in person.upstream.calls)
    assert "suffix" not in first and second["suffix"] == "x" * 100
    assert json.loads(person.log()[0]["prompt"]) == {"prompt": ["a", "b"], "suffix": "x" * 100}
    refusal = complete(prompt="a", suffix="b", echo=True).json["error"]
    assert (refusal["param"], refusal["type"]) == ("echo", "invalid_request_error")


def test_an_answer_from_documents_has_one_choice(person: Person) -> None:
    answer = person.ask(n=2, retrieval={"vector_store_ids": ["vs_x"]})
    assert answer.status_code == 400 and "leave n out" in answer.json["error"]["message"]  # type: ignore[index]
    assert person.log() == []


def test_the_kind_of_an_embeddings_input_is_passed_on_and_its_prefix_reserved(person: Person) -> None:
    person.upstream.capabilities = ["embeddings"]

    def embed(**fields: Any) -> Any:
        body = {"model": "demo", "input": ["Paris"], **fields}
        return person.client.post("/v1/embeddings", json=body, headers=person.api_token)

    assert embed(input_type="query").status_code == embed().status_code == 200
    assert [call.body.get("input_type") for call in person.upstream.calls] == ["query", None]
    assert refused(embed(input_type="question"))[0] == 400
    bounds = [EmbeddingBody(model="m", input=["a", "b"], input_type=kind).token_bound() for kind in (None, "passage")]
    assert bounds[1] - bounds[0] == 2 * PREFIX_TOKENS


def test_inputs_that_were_known_are_counted_as_cached(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    person.upstream.capabilities = ["embeddings"]
    usage = {"prompt_tokens": 3, "total_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}
    monkeypatch.setattr(person.upstream, "fetch", lambda call: {"object": "list", "data": [], "usage": usage})
    answer = person.client.post("/v1/embeddings", json={"model": "demo", "input": "a"}, headers=person.api_token)
    assert answer.json["usage"] == usage
    (record,) = stores.ledger_reader().everything(person.account_id)
    assert (record.prompt_tokens, record.cached_tokens) == (3, 2)


OLD_TURNS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a refusal": ({"content": None, "refusal": "no"}, {"content": "no"}),
    "a refusal as a part": ({"content": [{"type": "refusal", "refusal": "no"}]}, {"content": "no"}),
    "no calls and no content": ({"content": None, "tool_calls": []}, {"content": ""}),
    "what the SDK dumps": (
        {
            "content": "hi",
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "tool_calls": None,
        },
        {"content": "hi"},
    ),
    "a call without an id, its arguments an object": (
        {"content": None, "tool_calls": [{"id": None, "function": {"name": "f", "arguments": {"a": "é"}}}]},
        {"content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"a": "é"}'}}]},
    ),
}


@pytest.mark.parametrize("name", OLD_TURNS)
def test_an_earlier_turn_is_taken_as_clients_send_it_back(person: Person, name: str) -> None:
    given, wanted = OLD_TURNS[name]
    again = {"role": "user", "content": "again"}
    answer = person.ask(messages=[{"role": "assistant", **given}, again])
    assert answer.status_code == 200, answer.json
    assert person.upstream.calls[-1].body["messages"] == [{"role": "assistant", **wanted}, again]


def test_systems_anywhere_and_turns_of_one_role_in_a_row_are_passed_on(person: Person) -> None:
    roles = ["user", "user", "system", "assistant", "assistant", "developer", "user"]
    turns = [{"role": role, "content": role} for role in roles]
    assert person.ask(messages=turns).status_code == 200
    sent = person.upstream.calls[-1].body["messages"]
    assert [turn["role"] for turn in sent] == [role.replace("developer", "system") for role in roles]


def test_a_turn_that_says_nothing_is_still_refused(person: Person) -> None:
    for role, more in (("user", {"refusal": "no"}), ("assistant", {}), ("user", {"tool_calls": []})):
        answer = person.ask(messages=[{"role": role, "content": None, **more}])
        assert answer.status_code == 400 and "content is required" in answer.json["error"]["message"]  # type: ignore[index]


def test_a_choice_of_allowed_tools_is_passed_on(person: Person) -> None:
    function = {"type": "function", "function": {"name": "f"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [function]}}
    assert person.ask(tools=[function], tool_choice=choice).status_code == 200
    assert person.upstream.calls[-1].body["tool_choice"] == choice
