"""docs/api.md behind API Gateway and two kinds of functions: bad bodies, unusual headers, bytes."""

import json
import time
from typing import Any

import pytest
import requests

from tests.aws.emulator.deployment import Deployment
from tests.e2e.people import PASSWORD, Person, post

pytestmark = pytest.mark.timeout(900)
MIB = 1024 * 1024
JSON = {"Content-Type": "application/json"}
# The same mistakes on a function behind apig-wsgi and on one behind the Web Adapter.
BODIES = [
    (b"{nope", 400, "invalid_json"),
    (b"\xff\xfe{}", 400, "invalid_json"),
    (b"", 400, "invalid_json"),
    (json.dumps({"a": "x" * MIB}).encode(), 413, "request_too_large"),
]


def send(deployment: Deployment, method: str, path: str, **arguments: Any) -> requests.Response:
    return requests.request(method, deployment.base_url + path, timeout=60, allow_redirects=False, **arguments)


@pytest.mark.parametrize(("body", "status", "code"), BODIES, ids=["garbage", "not UTF-8", "nothing", "1 MiB and more"])
def test_bad_body_is_refused_as_promised(
    deployment: Deployment, ada: Person, body: bytes, status: int, code: str
) -> None:
    account = send(deployment, "POST", "/auth/login", data=body, headers=JSON)
    assert (account.status_code, account.json()["code"]) == (status, code)
    assert account.headers["content-type"] == "application/problem+json"
    assert account.headers["x-request-id"] == account.json()["request_id"]
    gateway = ada.v1("POST", "/v1/chat/completions", data=body, headers=JSON)
    assert (gateway.status_code, gateway.json()["error"]["code"]) == (status, code)
    assert gateway.headers["x-request-id"].startswith("req_")


def test_body_of_exactly_one_mebibyte_is_read(deployment: Deployment) -> None:
    frame = b'{"email":"a@example.com","password":"%s"}'
    answer = send(deployment, "POST", "/auth/login", data=frame % (b"x" * (MIB - len(frame) + 2)), headers=JSON)
    assert len(answer.request.body or b"") == MIB
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


@pytest.mark.parametrize("kind", ["application/octet-stream", "multipart/form-data; boundary=b", "text/plain"])
def test_other_content_types_are_refused_by_both_kinds_of_functions(
    deployment: Deployment, ada: Person, kind: str
) -> None:
    """API Gateway passes some of them on as base64."""
    headers, body = {"Content-Type": kind}, bytes(range(256))
    account = send(deployment, "POST", "/auth/login", data=body, headers=headers)
    assert (account.status_code, account.json()["code"]) == (415, "unsupported_media_type")
    gateway = ada.v1("POST", "/v1/chat/completions", data=body, headers=headers)
    assert (gateway.status_code, gateway.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(("method", "path"), [("GET", "/nope"), ("GET", "/v1/nope"), ("PUT", "/auth/login")])
def test_an_unknown_path_is_a_404_with_both_error_formats(deployment: Deployment, method: str, path: str) -> None:
    """API Gateway's own response, which does not distinguish a wrong method from a wrong path."""
    answer = send(deployment, method, path)
    assert answer.status_code == 404, answer.text
    assert answer.json()["code"] == answer.json()["error"]["code"] == "not_found"


def test_text_outside_ascii_is_unchanged_in_bodies_queries_and_paths(deployment: Deployment, ada: Person) -> None:
    name = "Ada 𝔏öv 🙂"
    assert ada.call("PATCH", "/account", json={"name": name}).status_code == 200
    assert ada.call("GET", "/account").json()["name"] == name
    for asked, understood in (("caf%C3%A9", "café"), ("a/b%2Fc", "a/b/c"), ("%25", "%")):
        answer = ada.v1("GET", f"/v1/models/{asked}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert f"'{understood}'" in answer.json()["error"]["message"]
    assert ada.call("GET", "/usage/logs", params={"model": "café&limit=0"}).json()["data"] == []


def test_a_parameter_that_is_not_a_number_is_named(deployment: Deployment, ada: Person) -> None:
    for query in ("limit=abc", "limit=", "limit=%zz", "limit=1&limit=x"):
        answer = ada.call("GET", f"/usage/logs?{query}")
        if answer.status_code == 422:
            assert [one["field"] for one in answer.json()["errors"]] == ["limit"]
        else:  # if a name is given twice, one value counts
            assert (query, answer.status_code) == ("limit=1&limit=x", 200)


def test_clients_request_id_is_kept_where_it_is_valid(deployment: Deployment, ada: Person) -> None:
    for call in (ada.call, ada.v1):
        path = "/account" if call == ada.call else "/v1/models"
        assert call("GET", path, headers={"x-request-id": "abc.1"}).headers["x-request-id"] == "abc.1"
        assert call("GET", path, headers={"x-request-id": "a b"}).headers["x-request-id"].startswith("req_")


def test_the_cookie_is_set_accepted_and_restricted_to_its_own_site(deployment: Deployment, ada: Person) -> None:
    answer = post(deployment.base_url, "/auth/login", {"email": ada.email, "password": PASSWORD})
    cookie, *attributes = [part.strip() for part in answer.headers["set-cookie"].split(";")]
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(attributes)
    headers = {"Cookie": f"{cookie}; other=1"}
    assert send(deployment, "GET", "/account", headers=headers).json()["email"] == ada.email
    sites = {"": 403, "cross-site": 403, "same-origin": 200}
    for site, status in sites.items():
        told = headers | ({"Sec-Fetch-Site": site} if site else {})
        assert send(deployment, "PATCH", "/account", json={"name": "Ada"}, headers=told).status_code == status, site
    out = send(deployment, "POST", "/auth/logout", headers=headers | {"Sec-Fetch-Site": "same-origin"})
    assert (out.status_code, out.content) == (204, b"")
    assert send(deployment, "GET", "/account", headers=headers).status_code == 401


def test_the_adapters_own_header_is_ignored_if_a_client_sends_it(deployment: Deployment, ada: Person) -> None:
    forged = {"x-amzn-request-context": '{"identity": {"sourceIp": "6.6.6.6"', "x-amzn-lambda-context": "nonsense"}
    assert ada.v1("GET", "/v1/models", headers=forged).status_code == 200


def test_file_comes_back_byte_for_byte_whatever_the_client_accepts(deployment: Deployment, ada: Person) -> None:
    body = "Sluice: Ümläute, \r\n und ein Nullbyte: \0.".encode()
    form = {"file": ("a.txt", body, "text/plain")}
    made = ada.v1("POST", "/v1/files", files=form, data={"purpose": "assistants"})
    assert made.status_code == 200, made.text
    for accepted in ("*/*", "text/html", "application/octet-stream"):
        answer = ada.v1("GET", f"/v1/files/{made.json()['id']}/content", headers={"Accept": accepted})
        assert (answer.status_code, answer.content) == (200, body), accepted


@pytest.mark.parametrize("accepted", ["*/*", "image/avif,image/webp,*/*;q=0.8"])
def test_an_image_is_served_as_its_bytes(deployment: Deployment, accepted: str) -> None:
    answer = send(deployment, "GET", "/static/favicon.svg", headers={"Accept": accepted})
    assert answer.status_code == 200
    assert answer.content.lstrip().startswith(b"<svg")


OTHER_ORIGIN = "https://ada.example"


def test_a_page_of_an_origin_in_the_settings_may_call_both_apis_and_others_may_not(
    deployment: Deployment, admin: Person
) -> None:
    read = admin.call("GET", "/admin/settings").json()
    given = {"version": read["version"], "site": {"allowed_origins": [OTHER_ORIGIN]}, "models": read["models"]}
    assert admin.call("PUT", "/admin/settings", json=given).status_code == 200

    def allowed(path: str, origin: str) -> tuple[int, str | None]:
        asked = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
        answer = send(deployment, "OPTIONS", path, headers=asked)
        return answer.status_code, answer.headers.get("access-control-allow-origin")

    paths = ("/account", "/tokens/tok_x", "/auth/login", "/chats/chat_x/messages", "/admin/users", "/v1/models")
    for path in paths:  # each of another function, which reads the settings once in a while
        until = time.monotonic() + 120
        while allowed(path, OTHER_ORIGIN) != (204, OTHER_ORIGIN):
            assert time.monotonic() < until, (path, allowed(path, OTHER_ORIGIN))
            time.sleep(1)
        assert allowed(path, "https://eve.example")[1] is None, path
    answer = send(deployment, "GET", "/account", headers={"Origin": OTHER_ORIGIN})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, OTHER_ORIGIN)
