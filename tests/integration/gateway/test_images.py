"""Images go to a model with eyes, in the form of the server, and nowhere else."""

import json
from typing import Any

import pytest

from sluice.domain.gateway.images import IMAGE_TOKENS, TEXT_ONLY, USUAL_TOKENS
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


def test_documents_and_images_do_not_mix_and_a_server_without_counts_is_estimated(seeing: Person) -> None:
    answer = ask(seeing, TEXT, IMAGE, retrieval={"vector_store_ids": ["vs_x"]})
    assert answer.status_code == 400 and "leave images out" in answer.json["error"]["message"]
    from sluice.adapters.gateway.upstream import estimated_tokens

    ask(seeing, TEXT, IMAGE)
    (call,) = seeing.upstream.calls
    large = json.loads(json.dumps(call.body).replace("iVBORw0KGgo=", "A" * 400_000))
    counted = [estimated_tokens(call.__class__(call.path, body, "", "", 1.0)) for body in (call.body, large)]
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
