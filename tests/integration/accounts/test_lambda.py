"""The functions called with API Gateway's proxy events."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from functions.accounts import app as accounts
from functions.tokens import app as tokens
from sluice.http.on_lambda import wsgi
from tests.integration.accounts.world import PASSWORD, World, switch_on_throttles


@pytest.fixture(autouse=True)
def _fresh_handlers() -> Iterator[None]:
    yield
    wsgi.cache_clear()


def event(method: str, path: str, body: Any = None, source: str = "192.0.2.77", **headers: str) -> dict[str, Any]:
    """A REST API's Lambda proxy event with the fields that are used."""
    every = {"Host": "abc123.execute-api.eu-west-1.amazonaws.com", "X-Forwarded-Proto": "https", **headers}
    if body is not None:
        every["Content-Type"] = "application/json"
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": every,
        "multiValueHeaders": {name: [value] for name, value in every.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {"stage": "prod", "path": "/prod" + path, "identity": {"sourceIp": source}},
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def header(answer: dict[str, Any], name: str) -> str:
    given = answer.get("headers") or {key: values[-1] for key, values in answer["multiValueHeaders"].items()}
    return str({key.lower(): value for key, value in given.items()}[name.lower()])


def test_a_login_and_a_token_issue_work_through_lambda(world: World) -> None:
    account = world.account()
    body = {"email": account.email, "password": PASSWORD}
    answer = accounts.handler(event("POST", "/auth/login", body), None)
    assert answer["statusCode"] == 200
    assert header(answer, "set-cookie").startswith("sluice_session=ses_")
    session_token = json.loads(answer["body"])["session"]["token"]
    asked = event("POST", "/tokens", {"name": "x"}, Authorization=f"Bearer {session_token}")
    issued = tokens.handler(asked, None)
    assert issued["statusCode"] == 201 and json.loads(issued["body"])["token"].count(".") == 2


def test_a_forged_forwarded_address_does_not_make_a_new_client(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    switch_on_throttles(monkeypatch)
    body = {"email": world.account().email, "password": "wrong wrong wrong"}
    for place in range(11):
        forged = event("POST", "/auth/login", body, **{"X-Forwarded-For": f"6.6.6.{place}, 192.0.2.77"})
        answer = accounts.handler(forged, None)
    assert answer["statusCode"] == 429 and int(header(answer, "retry-after")) >= 1
    elsewhere = event("POST", "/auth/login", body, source="192.0.2.78")
    assert accounts.handler(elsewhere, None)["statusCode"] == 401


def test_an_error_on_lambda_is_problem_json_too(world: World) -> None:
    answer = tokens.handler(event("GET", "/tokens"), None)
    assert answer["statusCode"] == 401 and header(answer, "content-type") == "application/problem+json"
    assert json.loads(answer["body"])["code"] == "not_authenticated"
