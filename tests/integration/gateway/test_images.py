"""Images go to a model with eyes, in the form of the server, and nowhere else."""

import json
from typing import Any

import pytest

from sluice.domain.errors import ValidationFailed
from sluice.domain.gateway.images import IMAGE_TOKENS, NOT_SEARCHED, TEXT_ONLY, USUAL_TOKENS, check_earlier
from tests.fakes.upstream import chunk
from tests.integration.gateway.conftest import ANSWER, Person

DATA = "data:image/png;base64,iVBORw0KGgo="
TEXT = {"type": "text", "text": "What is this?"}
IMAGE = {"type": "image_url", "image_url": {"url": DATA, "detail": "low"}}
BLOCK = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


@pytest.fixture
def seeing(person: Person) -> Person:
    person.upstream.capabilities = ["chat", "vision"]
    return person


def ask(person: Person, *parts: Any, **more: Any) -> Any:
    return person.ask(messages=[{"role": "user", "content": list(parts)}], **more)


def message(person: Person, *blocks: Any, path: str = "messages", **more: Any) -> Any:
    body = {"model": "demo", "max_tokens": 20, "messages": [{"role": "user", "content": list(blocks)}], **more}
    headers = {**person.api_token, "anthropic-version": "2023-06-01"}
    return person.client.post(f"/v1/{path}", json=body, headers=headers)


def respond(person: Person, *parts: Any, **more: Any) -> Any:
    body = {"model": "demo", "input": [{"role": "user", "content": list(parts)}], **more}
    return person.client.post("/v1/responses", json=body, headers=person.api_token)


def sent(person: Person) -> Any:
    return person.upstream.calls[-1].body["messages"]


def test_an_image_reaches_a_model_with_eyes_unchanged(seeing: Person) -> None:
    held: list[int] = []
    seeing.script(lambda: held.append(next(iter(seeing.grant().leases.values())).reserved_tokens), *ANSWER)
    answer = ask(seeing, TEXT, IMAGE, {"type": "input_text", "text": "Say."}, max_tokens=5)
    assert answer.status_code == 200, answer.json
    assert sent(seeing) == [{"role": "user", "content": [TEXT, IMAGE, {"type": "text", "text": "Say."}]}]
    assert held == [512], "an image and its answer fit the context window at most"
    prompt = seeing.log()[0]["prompt"]
    assert "What is this?" in prompt and "image_url" in prompt and "iVBORw0KGgo" not in prompt


def test_a_model_whose_server_states_no_capabilities_gets_them_too_and_each_is_reserved(person: Person) -> None:
    person.upstream.models = lambda: [{"id": "demo", "object": "model"}]  # type: ignore[method-assign]
    held: list[int] = []
    person.script(lambda: held.append(next(iter(person.grant().leases.values())).reserved_tokens), *ANSWER)
    assert ask(person, TEXT, IMAGE, IMAGE, max_tokens=5).status_code == 200
    assert 2 * IMAGE_TOKENS < held[0] < 2 * IMAGE_TOKENS + 200, "not by the bytes of the images"
    held.clear()
    assert message(person, TEXT, BLOCK).status_code == 200
    assert IMAGE_TOKENS < held[0] < IMAGE_TOKENS + 300


@pytest.mark.parametrize("parts", [(TEXT, IMAGE), (TEXT, {"type": "image_url", "image_url": {"url": "x.png"}})])
def test_a_model_without_eyes_refuses_the_image_by_its_place(person: Person, parts: Any) -> None:
    error = ask(person, *parts).json["error"]
    assert (error["param"], error["type"]) == ("messages[0].content[1].type", "invalid_request_error")
    assert TEXT_ONLY in error["message"]
    for path in ("messages", "messages/count_tokens"):
        refusal = message(person, TEXT, BLOCK, path=path)
        assert refusal.status_code == 400
        assert refusal.json["error"]["message"] == f"messages[0].content[1].type: {TEXT_ONLY}"
    assert person.upstream.calls == [] and person.log() == []


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "file:///etc/passwd", "data:text/html;base64,AA", ""])
def test_an_address_that_the_server_should_not_fetch_is_refused(seeing: Person, url: str) -> None:
    error = ask(seeing, {"type": "image_url", "image_url": {"url": url}}).json["error"]
    assert error["param"] == "messages[0].content[0].image_url.url" and "https://" in error["message"]
    refusal = message(seeing, {"type": "image", "source": {"type": "url", "url": url}})
    assert refusal.json["error"]["message"].startswith("messages[0].content[0].source: ")
    assert seeing.upstream.calls == []
    assert ask(seeing, {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}).status_code == 200


def test_anthropics_images_become_parts_in_their_order_also_those_of_tool_results(seeing: Person) -> None:
    image = {"type": "image_url", "image_url": {"url": DATA}}
    assert message(seeing, BLOCK, TEXT).status_code == 200
    assert sent(seeing) == [{"role": "user", "content": [image, TEXT]}]
    result = {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "a.png"}, BLOCK]}
    assert message(seeing, result, TEXT).status_code == 200
    assert sent(seeing) == [
        {"role": "tool", "tool_call_id": "a", "content": "a.png"},
        {"role": "user", "content": [image, TEXT]},
    ]
    assert message(seeing, {"type": "document", "source": {}}).status_code == 400


def test_images_of_responses_become_parts_and_are_kept_with_the_conversation(seeing: Person) -> None:
    asked = {"type": "input_text", "text": "What is this?"}
    blind = {"id": "blind", "object": "model", "capabilities": ["chat"]}
    known = [*seeing.upstream.models(), blind]
    seeing.upstream.models = lambda: known  # type: ignore[method-assign]
    first = respond(seeing, asked, {"type": "input_image", "image_url": DATA, "detail": "low"})
    assert first.status_code == 200, first.json
    turn = {"role": "user", "content": [TEXT, IMAGE]}
    assert sent(seeing) == [turn]
    assert "iVBORw0KGgo" not in seeing.log()[0]["prompt"]
    path = f"/v1/responses/{first.json['id']}/input_items"
    (item,) = seeing.client.get(path, headers=seeing.api_token).json["data"]  # type: ignore[index]
    assert item["content"] == [asked, {"type": "input_image", "image_url": DATA, "detail": "low"}]
    more = respond(seeing, {"type": "input_text", "text": "And now?"}, previous_response_id=first.json["id"])
    assert more.status_code == 200 and sent(seeing)[0] == turn
    seeing.upstream.calls.clear()
    answer = respond(seeing, asked, previous_response_id=first.json["id"], model="blind")
    assert answer.status_code == 400 and answer.json["error"]["message"] == f"input: {TEXT_ONLY}"
    assert seeing.upstream.calls == []


@pytest.mark.parametrize(
    "capabilities, searched, problem",
    [(["vision"], False, None), (["chat"], False, TEXT_ONLY), (["vision"], True, NOT_SEARCHED), (None, False, None)],
)
def test_images_of_an_earlier_response_are_checked_too(capabilities: Any, searched: bool, problem: str | None) -> None:
    model = {"id": "demo"} | ({} if capabilities is None else {"capabilities": capabilities})
    check_earlier(model, [{"role": "user", "content": "text"}], searched=True, param="input")
    turns = [{"role": "user", "content": [TEXT, IMAGE]}]
    if problem is None:
        return check_earlier(model, turns, searched=searched, param="input")
    with pytest.raises(ValidationFailed) as refused:
        check_earlier(model, turns, searched=searched, param="input")
    assert (refused.value.problems[0].param, refused.value.problems[0].message) == ("input", problem)


def test_responses_refuse_images_by_their_place(person: Person) -> None:
    asked = {"type": "input_text", "text": "What is this?"}
    image = {"type": "input_image", "image_url": DATA}
    error = respond(person, asked, image).json["error"]
    assert (error["param"], error["message"]) == ("input[0].content[1].type", f"input[0].content[1].type: {TEXT_ONLY}")
    path = "/v1/responses/input_tokens"
    body = {"model": "demo", "input": [{"role": "user", "content": [image]}]}
    assert person.client.post(path, json=body, headers=person.api_token).status_code == 400
    assert person.upstream.calls == []


def test_responses_refuse_wrong_addresses_of_images(seeing: Person) -> None:
    for image in ({"image_url": "file:///etc/passwd"}, {"image_url": 5}, {}):
        error = respond(seeing, {"type": "input_image", **image}).json["error"]
        assert error["param"] == "input[0].content[0].image_url"
    assert seeing.upstream.calls == []


def test_documents_and_images_do_not_mix_and_a_server_without_counts_is_estimated(seeing: Person) -> None:
    answer = ask(seeing, TEXT, IMAGE, retrieval={"vector_store_ids": ["vs_x"]})
    assert answer.status_code == 400 and "leave images out" in answer.json["error"]["message"]
    from sluice.domain.gateway.estimates import prompt_tokens

    ask(seeing, TEXT, IMAGE)
    (call,) = seeing.upstream.calls
    large = json.loads(json.dumps(call.body).replace("iVBORw0KGgo=", "A" * 400_000))
    counted = [prompt_tokens(body) for body in (call.body, large)]
    assert USUAL_TOKENS < counted[0] == counted[1] < USUAL_TOKENS + 100


def test_wrong_parts_are_named(seeing: Person) -> None:
    for part, param in (
        ({"type": "image_url"}, "messages[0].content[0].image_url"),
        ({"type": "image_url", "image_url": DATA}, "messages[0].content[0].image_url"),
        ({"type": "image_url", "image_url": {"url": 5}}, "messages[0].content[0].image_url.url"),
        ({"type": "input_audio"}, "messages[0].content[0].type"),
    ):
        assert ask(seeing, part).json["error"]["param"] == param
    assert seeing.script(chunk("x")) is None
