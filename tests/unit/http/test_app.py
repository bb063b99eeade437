"""The headers of every response."""

import pytest
from flask import Blueprint, Response

from sluice.http.app import create_app


def headers(*, https: bool) -> dict[str, str]:
    app = create_app([Blueprint("none", __name__)], https=https)
    answer = app.test_client().get("/nowhere")
    assert answer.status_code == 404
    return dict(answer.headers)


@pytest.mark.parametrize("https", [True, False])
def test_hsts_is_sent_only_where_https_is_used(https: bool) -> None:
    assert headers(https=https).get("Strict-Transport-Security") == ("max-age=63072000" if https else None)


@pytest.mark.parametrize("https", [True, False])
def test_responses_are_not_cached_framed_or_sniffed(https: bool) -> None:
    given = headers(https=https)
    assert given["Cache-Control"] == "private, no-store" and given["X-Content-Type-Options"] == "nosniff"
    assert given["X-Frame-Options"] == "DENY" and "frame-ancestors 'none'" in given["Content-Security-Policy"]
    assert not [name for name in given if name.startswith("Access-Control-")]  # no other site may read a response


@pytest.mark.parametrize("path", ["/v1//models", "/v1/models/", "/v1/models//", "/v1/%2fmodels"])
def test_no_path_redirects_to_the_requests_host(path: str) -> None:
    blueprint = Blueprint("models", __name__)
    blueprint.get("/v1/models")(lambda: Response("here"))
    client = create_app([blueprint]).test_client()
    assert client.get("/v1/models").status_code == 200
    answer = client.get(path, headers={"Host": "evil.example"})
    assert answer.status_code == 404 and "Location" not in answer.headers


MODELS = {"/v1/v1/models", "/v1//models", "/v1/models/", "/models", "/v1/%76%31/models", "/V1/models"}
MODELS |= {"/openai/v1/models", "/v1/v1/v1/models/", "/api/models"}


@pytest.mark.parametrize("path", sorted(MODELS))
def test_an_unknown_path_that_exists_below_v1_names_the_right_one(path: str) -> None:
    blueprint = Blueprint("models", __name__)
    blueprint.get("/v1/models")(lambda: Response("here"))
    answer = create_app([blueprint]).test_client().get(path)
    assert answer.status_code == 404
    error = answer.get_json()["error"]
    assert "/v1/models?" in error["message"] and "base URL ends in /v1" in error["message"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "not_found")
    if not path.startswith("/v1/"):
        assert answer.get_json()["detail"] == error["message"]


@pytest.mark.parametrize("path", ["/nowhere", "/v1/nowhere", "/v1", "/v1/", "/" + "a/" * 2000])
def test_a_path_that_resembles_none_has_no_hint(path: str) -> None:
    answer = create_app([Blueprint("none", __name__)]).test_client().get(path)
    assert answer.status_code == 404 and b"base URL" not in answer.get_data()
