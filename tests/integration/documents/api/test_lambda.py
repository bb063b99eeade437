"""Bytes through API Gateway's proxy event, which is JSON and so has them in base64 both ways."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest

from functions.files import app as files
from sluice.http.on_lambda import wsgi
from tests.integration.accounts.test_lambda import event, header
from tests.integration.documents.api.conftest import BOUNDARY, Reader, multipart

BYTES = bytes(range(256))


@pytest.fixture(autouse=True)
def _fresh_handlers() -> Iterator[None]:
    yield
    wsgi.cache_clear()


def test_bytes_are_uploaded_and_downloaded_through_lambda(reader: Reader) -> None:
    asked = event("POST", "/v1/files", **reader.api_token)
    form = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    asked["headers"] |= form
    asked["multiValueHeaders"] |= {name: [value] for name, value in form.items()}
    asked |= {
        "body": b64encode(multipart({"purpose": "assistants"}, "all.bin", BYTES)).decode(),
        "isBase64Encoded": True,
    }
    made = files.handler(asked, None)
    assert made["statusCode"] == 200, made
    assert made["isBase64Encoded"] is False, "JSON stays text"
    identifier = json.loads(made["body"])["id"]
    answer = files.handler(event("GET", f"/v1/files/{identifier}/content", **reader.api_token), None)
    assert answer["isBase64Encoded"] is True
    assert b64decode(answer["body"]) == BYTES
    assert header(answer, "content-disposition") == "attachment; filename*=UTF-8''all.bin"
