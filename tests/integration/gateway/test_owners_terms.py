"""The owner's prices, aliases and local-only models at the gateway, on a real store."""

from typing import Any

import pytest

from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.settings.checking import check
from sluice.services.operations.admin import Actor
from sluice.wiring.settings import owners_terms
from tests.integration.gateway.conftest import Person

PRICED = {"id": "demo", "aliases": ["gpt-4o-mini"], "prompt_usd": "100.00", "completion_usd": "400.00"}
AWAY = {"name": "cloud", "kind": "openai", "url": "https://api.example.com/v1", "leaves_home": True}
HOME = {"name": "local", "kind": "engine"}
COST = "0.001800"  # of 10 + 2 tokens
ASKED = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100}
REQUESTS = {
    "/v1/chat/completions": ASKED,
    "/v1/completions": {"prompt": "Hi", "max_tokens": 100},
    "/v1/messages": ASKED,
    "/v1/responses": {"input": "Hi", "max_output_tokens": 100},
}


def apply(**settings: Any) -> None:
    terms = owners_terms()
    terms.change(Actor(OPERATOR), terms.read().version, check(settings), 1)


def post(person: Person, path: str, **fields: Any) -> Any:
    headers = {**person.api_token, **fields.pop("headers", {})}
    return person.client.post(path, json={"model": "demo", **REQUESTS[path], **fields}, headers=headers)


def models(person: Person) -> list[Any]:
    answer = person.client.get("/v1/models", headers=person.api_token).json
    assert answer is not None
    return list(answer["data"])


def test_without_a_price_no_dollars_are_told(person: Person) -> None:
    answer = person.ask()
    assert "x-sluice-price-usd" not in answer.headers
    assert models(person)[0]["pricing"] == {} and person.log()[0]["estimated_cost_usd"] is None
    usage = person.call("GET", "/usage").json
    assert usage is not None and usage["total"]["cost_usd"] is None and usage["total"]["requests"] == 1
    account = person.call("GET", "/account").json
    assert account is not None and account["usage"]["cost_usd"] is None


@pytest.mark.parametrize("path", REQUESTS)
def test_a_price_is_listed_charged_and_told_in_the_answer(person: Person, path: str) -> None:
    apply(models=[PRICED])
    (model,) = models(person)
    assert model["pricing"] == {"prompt_usd": 100.0, "completion_usd": 400.0} and model["aliases"] == ["gpt-4o-mini"]
    assert post(person, path).headers["x-sluice-price-usd"] == COST
    assert person.log()[0]["estimated_cost_usd"] == 0.0018
    streamed = post(person, path, stream=True)
    assert streamed.status_code == 200 and "x-sluice-price-usd" not in streamed.headers


@pytest.mark.parametrize("path", REQUESTS)
def test_an_alias_is_answered_by_its_model_which_the_answer_names(person: Person, path: str) -> None:
    apply(models=[PRICED])
    answer = post(person, path, model="gpt-4o-mini")
    assert answer.status_code == 200 and answer.json["model"] == "demo"
    assert person.upstream.calls[-1].body["model"] == "demo" and person.log()[0]["model"] == "demo"
    one = person.client.get("/v1/models/gpt-4o-mini", headers=person.api_token).json
    assert one is not None and one["id"] == "demo"


@pytest.mark.parametrize(("named", "status"), [("gpt-4o-mini", 200), ("demo", 200), ("other", 404)])
def test_a_token_of_some_models_may_name_them_by_alias(person: Person, named: str, status: int) -> None:
    apply(models=[PRICED])
    issued: Any = person.call("POST", "/tokens", json={"name": "x", "models": [named]}).json
    person.api_token["Authorization"] = f"Bearer {issued['token']}"
    for asked in ("demo", "gpt-4o-mini"):
        assert person.ask(model=asked).status_code == status
    assert len(models(person)) == (status == 200)


@pytest.mark.parametrize("path", REQUESTS)
def test_a_local_only_request_does_not_leave_home(person: Person, path: str) -> None:
    apply(upstreams=[AWAY], models=[PRICED])
    header = {"x-sluice-local-only": "true"}
    refused = post(person, path, headers=header)
    assert refused.status_code == 403 and "leaves home" in refused.json["error"]["message"]
    assert person.upstream.calls == [] and person.log() == []
    assert post(person, path, headers={"x-sluice-local-only": "false"}).status_code == 200
    assert post(person, path, headers={"x-sluice-local-only": "yes"}).status_code == 400
    assert post(person, path, headers={**header, "Authorization": "Bearer x"}).status_code == 401


def test_a_local_only_token_does_not_leave_home_whatever_its_header_says(person: Person) -> None:
    issued: Any = person.call("POST", "/tokens", json={"name": "x", "local_only": True}).json
    person.api_token["Authorization"] = f"Bearer {issued['token']}"
    assert person.ask().status_code == 200, "without settings the model server is the operator's own"
    apply(upstreams=[AWAY])
    assert post(person, "/v1/chat/completions", headers={"x-sluice-local-only": "false"}).status_code == 403
    assert models(person) == []
    apply(upstreams=[AWAY, HOME], models=[{"id": "demo", "upstreams": ["cloud:demo", "local:demo"]}])
    assert person.ask().status_code == 200 and len(models(person)) == 1
    apply(upstreams=[AWAY, HOME], models=[{"id": "demo", "upstreams": ["cloud:demo"]}])
    assert person.ask().status_code == 403


def test_used_up_dollars_are_a_402_in_every_dialect(person: Person) -> None:
    apply(models=[PRICED])
    issued: Any = person.call("POST", "/tokens", json={"name": "x", "limits": {"monthly_usd": "0.000001"}}).json
    person.api_token["Authorization"] = f"Bearer {issued['token']}"
    for path in REQUESTS:
        refused = post(person, path)
        assert refused.status_code == 402, path
        assert refused.headers["x-should-retry"] == "false" and int(refused.headers["retry-after"]) > 0
        error = refused.json["error"]
        assert error["type" if path == "/v1/messages" else "code"] in ("billing_error", "insufficient_budget")
    assert person.upstream.calls == [] and person.log() == []


def test_a_plan_names_a_model_by_an_alias_too(person: Person) -> None:
    apply(models=[PRICED], plans=[{"name": "free", "default": True, "models": ["gpt-4o-mini"]}])
    assert [model["id"] for model in models(person)] == ["demo"]
    assert post(person, "/v1/chat/completions").status_code == 200
    assert post(person, "/v1/chat/completions", model="gpt-4o-mini").status_code == 200
