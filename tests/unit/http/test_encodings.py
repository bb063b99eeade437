"""Compressed bodies are decoded, and a limit counts decoded bytes at no more than its own cost."""

import base64
import gzip
import time
import tracemalloc
import zlib

import pytest
from apig_wsgi import make_lambda_handler
from backports import zstd
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from pydantic import BaseModel
from werkzeug.test import TestResponse

from sluice.http.app import MAX_BODY_BYTES, create_app
from sluice.http.operation import operation
from tests.slowness import within

BODY = b'{"text":"%s"}' % (b"q" * 200_000)


class Text(BaseModel):
    text: str


class Length(BaseModel):
    length: int


@pytest.fixture
def client() -> FlaskClient:
    return lengths().test_client()


def lengths() -> Flask:
    blueprint = Blueprint("lengths", __name__)

    @blueprint.post("/v1/lengths")
    @operation("Length", tag="x")
    def length(body: Text) -> Length:
        return Length(length=len(body.text))

    return create_app([blueprint])


def post(client: FlaskClient, body: bytes, coding: str) -> TestResponse:
    return client.post(
        "/v1/lengths", data=body, headers={"content-type": "application/json", "content-encoding": coding}
    )


def bare(body: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(body) + deflate.flush()


ENCODED = {
    "gzip": gzip.compress(BODY),
    "GZip": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]),
    "deflate": zlib.compress(BODY),
    " deflate ": bare(BODY),
    "zstd": zstd.compress(BODY),
    "gzip, zstd": zstd.compress(gzip.compress(BODY)),
    "identity": BODY,
    "": BODY,
}


@pytest.mark.parametrize("coding", ENCODED)
def test_a_compressed_body_is_decoded(client: FlaskClient, coding: str) -> None:
    answer = post(client, ENCODED[coding], coding)
    assert (answer.status_code, answer.get_json()) == (200, {"length": 200_000})


@pytest.mark.parametrize("coding", ["br", "gzip, br", "compress", "aws-chunked", "ä"])
def test_an_unknown_coding_is_415_and_says_which_are_known(client: FlaskClient, coding: str) -> None:
    answer = post(client, BODY, coding)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (415, "unsupported_media_type")
    assert answer.headers["Accept-Encoding"] == "gzip, deflate, zstd"


WRONG = [
    (BODY, "gzip"),
    (BODY, "zstd"),
    (b"", "gzip"),
    (gzip.compress(BODY, mtime=0)[:-1], "gzip"),
    (gzip.compress(BODY) + b"more", "gzip"),
    (zlib.compress(BODY)[:-5], "deflate"),
    (bare(BODY)[:-1], "deflate"),
    (zstd.compress(BODY)[:-1], "zstd"),
    (gzip.compress(BODY), "gzip, gzip"),
    (gzip.compress(b"") * 40_000, "gzip"),
    (ENCODED["gzip"], "gzip, gzip, gzip, gzip"),
]


@pytest.mark.parametrize(("body", "coding"), WRONG)
def test_a_body_that_cannot_be_decoded_is_400(client: FlaskClient, body: bytes, coding: str) -> None:
    answer = post(client, body, coding)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "invalid_encoding")


def test_behind_api_gateway_a_body_may_be_decoded_already(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert post(client, BODY, "deflate").status_code == 400
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
    for coding, body in (("gzip", BODY), ("deflate", BODY), ("gzip", ENCODED["gzip"]), ("zstd", ENCODED["zstd"])):
        assert post(client, body, coding).get_json() == {"length": 200_000}
    assert post(client, b" " * MAX_BODY_BYTES + BODY, "gzip").status_code == 413
    assert post(client, b"\x1f", "gzip").status_code == post(client, b"", "gzip").status_code == 400


def test_a_function_decodes_what_arrives_in_an_event() -> None:
    handler = make_lambda_handler(lengths(), binary_support=True)
    event = {
        "version": "1.0", "httpMethod": "POST", "path": "/v1/lengths", "resource": "/v1/lengths", "requestContext": {},
        "multiValueHeaders": {"content-type": ["application/json"], "content-encoding": ["zstd"]},
        "body": base64.b64encode(ENCODED["zstd"]).decode(), "isBase64Encoded": True,
    }  # fmt: skip
    answer = handler(event, None)
    assert (answer["statusCode"], "200000" in answer["body"]) == (200, True)


ZEROS = bytes(64 * MAX_BODY_BYTES)
BOMBS = [
    (gzip.compress(bytes(MAX_BODY_BYTES + 1)), "gzip"),
    (gzip.compress(ZEROS), "gzip"),
    (zstd.compress(ZEROS), "zstd"),
    (bare(ZEROS), "deflate"),
    (gzip.compress(gzip.compress(ZEROS)), "gzip, gzip"),
    (gzip.compress(gzip.compress(b"") * 4_000_000), "gzip, gzip"),  # the inner ones decode to nothing
]


@pytest.mark.parametrize(("body", "coding"), BOMBS)
def test_a_bomb_costs_no_more_than_the_limit(client: FlaskClient, body: bytes, coding: str) -> None:
    tracemalloc.start()
    started_s = time.process_time()
    answer = post(client, body, coding)
    used_s, (_, peak_bytes) = time.process_time() - started_s, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == 413 or answer.get_json()["error"]["code"] == "invalid_encoding"
    assert within(used_s, 0.25) and peak_bytes < 4 * MAX_BODY_BYTES
