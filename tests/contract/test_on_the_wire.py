"""What everybody may fetch is small on the wire, and not sent again while it is unchanged."""

import base64
import gzip
import json

import pytest
from flask.testing import FlaskClient

from functions.web import app as web
from infra.openapi import TARGET
from sluice.http.app import create_app
from sluice.pages.assets import ASSETS

MOST_BYTES = 150_000
FILES = ["/docs/docs.js", *(f"/static/{name}" for name in ASSETS)]
GZIP = {"Accept-Encoding": "gzip, deflate, br"}


@pytest.fixture
def client() -> FlaskClient:
    return create_app([web.blueprint]).test_client()


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", *FILES])
def test_each_public_answer_is_small_cached_and_not_sent_twice(client: FlaskClient, path: str) -> None:
    first = client.get(path, headers=GZIP)
    assert first.status_code == 200 and len(first.data) < MOST_BYTES
    assert first.headers["Cache-Control"].startswith("public, max-age=") and first.headers["Vary"] == "Accept-Encoding"
    again = client.get(path, headers={**GZIP, "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Cache-Control"] == first.headers["Cache-Control"]


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "*;q=0", "\xff", "gzip;q=x"])
def test_the_document_is_readable_for_a_client_that_takes_no_gzip(client: FlaskClient, accepted: str) -> None:
    answer = client.get("/openapi.json", headers={"Accept-Encoding": accepted} if accepted else {})
    body = gzip.decompress(answer.data) if answer.headers.get("Content-Encoding") == "gzip" else answer.data
    assert json.loads(body) == json.loads(TARGET.read_text())
    assert accepted == "gzip;q=x" or "Content-Encoding" not in answer.headers


def test_both_forms_have_an_etag_of_their_own(client: FlaskClient) -> None:
    tags = {client.get("/openapi.json", headers=headers).headers["ETag"] for headers in (GZIP, {})}
    assert len(tags) == 2


def test_the_document_arrives_gzipped_through_lambda() -> None:
    event = {
        "version": "1.0", "httpMethod": "GET", "path": "/openapi.json", "resource": "/openapi.json",
        "headers": GZIP, "multiValueHeaders": {name: [value] for name, value in GZIP.items()},
        "queryStringParameters": None, "multiValueQueryStringParameters": None, "isBase64Encoded": False, "body": None,
        "requestContext": {"path": "/openapi.json", "stage": "live", "identity": {"sourceIp": "192.0.2.1"}},
    }  # fmt: skip
    answer = web.handler(event, None)
    assert answer["statusCode"] == 200 and answer["isBase64Encoded"] and len(answer["body"]) < MOST_BYTES
    assert json.loads(gzip.decompress(base64.b64decode(answer["body"]))) == json.loads(TARGET.read_text())
