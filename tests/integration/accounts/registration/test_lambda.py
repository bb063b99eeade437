"""The functions called with API Gateway's events, each from its own folder."""

import json
from typing import Any

import pytest

from functions.registration import app as registration
from functions.verification import app as verification
from sluice.http.on_lambda import wsgi
from tests.integration.accounts.registration.world import Desk
from tests.integration.accounts.world import PASSWORD


def event(path: str, body: dict[str, Any], host: str = "evil.example") -> dict[str, Any]:
    return {
        "resource": path,
        "path": path,
        "httpMethod": "POST",
        "headers": {"content-type": "application/json", "host": host, "x-forwarded-host": host},
        "multiValueHeaders": {"content-type": ["application/json"], "host": [host]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"identity": {"sourceIp": "192.0.2.1"}, "stage": "prod", "path": "/prod" + path},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


@pytest.fixture(autouse=True)
def _fresh(desk: Desk) -> None:
    wsgi.cache_clear()


def test_registration_to_login_works_and_no_host_header_changes_the_links(desk: Desk) -> None:
    body = {"email": "ann@example.com", "password": PASSWORD}
    answer = registration.handler(event("/auth/register", body), None)
    assert (answer["statusCode"], json.loads(answer["body"])) == (202, {"status": "verification_sent"})
    desk.deliver()
    (mail,) = desk.outbox()
    assert "http://127.0.0.1:8080/verify-email?token=mail_" in mail["text"]
    assert "evil" not in mail["text"] + mail["html"]
    code = desk.code("ann@example.com")
    for expected in (200, 400):
        assert verification.handler(event("/auth/verify-email", {"token": code}), None)["statusCode"] == expected


def test_an_error_on_lambda_is_problem_json_too(desk: Desk) -> None:
    answer = registration.handler(event("/auth/register", {"email": "nobody", "password": "x"}), None)
    assert answer["statusCode"] == 422 and json.loads(answer["body"])["code"] == "validation_error"
