"""`/docs` and `/openapi.json` are served with own assets only, without inline scripts and without other files."""

import json
import re

import pytest
from flask.testing import FlaskClient

from functions.web import app as web
from infra import reference
from infra.openapi import TARGET
from sluice.domain.errors import Unavailable
from sluice.http.app import create_app
from sluice.wiring import peers


@pytest.fixture
def client() -> FlaskClient:
    return create_app([web.blueprint]).test_client()


def test_the_document_is_served_and_not_sent_again_if_unchanged(client: FlaskClient) -> None:
    first = client.get("/openapi.json")
    assert first.json == json.loads(TARGET.read_text())
    again = client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_page_is_that_of_the_document_and_has_every_call(client: FlaskClient) -> None:
    document = json.loads(TARGET.read_text())
    page = client.get("/docs").get_data(as_text=True)
    assert reference.TARGET.read_text() == reference.page(document), "make it anew: python -m infra.openapi"
    calls = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    shown = re.findall(r'<span class="method (\w+)">\w+</span><code>([^<]+)</code>', page)
    assert {(method.upper(), path) for method, path in shown} == calls and "%" not in page.split("<main")[0]
    links, anchors = (set(re.findall(pattern, page)) for pattern in (r'href="#([^"]+)"', r'\bid="([^"]+)"'))
    assert links and links - anchors == set()


def test_the_samples_name_the_address_of_this_site_or_none(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"export SLUICE_URL={peers.base_url()}\n" in client.get("/docs").get_data(as_text=True)

    def away() -> str:
        raise Unavailable()

    monkeypatch.setattr(peers, "base_url", away)
    page = client.get("/docs")
    assert page.status_code == 200 and "%BASE_URL%" not in page.get_data(as_text=True)


def test_page_allows_no_inline_script_and_no_other_host(client: FlaskClient) -> None:
    with client.get("/docs") as page:
        policy = page.headers["Content-Security-Policy"]
        html = page.get_data(as_text=True)
    assert "unsafe" not in policy and "http" not in policy and "default-src 'none'" in policy
    assert re.findall(r"<script(?![^>]*\bsrc=)", html) == []
    assert re.findall(r"\bstyle=|\bon[a-z]+=|<style", html) == []


def test_every_asset_of_the_page_is_served_by_us(client: FlaskClient) -> None:
    with client.get("/docs") as page:
        addresses = re.findall(r'(?:src|href)="([^"]+)"', page.get_data(as_text=True))
    local = [address for address in addresses if not address.startswith(("data:", "#"))]
    assert local and all("//" not in address for address in local)
    files = [address for address in local if not address.startswith("my/")]  # those are pages of other functions
    assert all("?v=" in address for address in files if address.startswith("static/"))
    for address in files:
        with client.get("/" + address.removeprefix(".")) as asset:
            assert asset.status_code == 200, address


def test_a_trailing_slash_redirects_to_the_page(client: FlaskClient) -> None:
    answer = client.get("/docs/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "../docs")


@pytest.mark.parametrize("path", ["/docs/../app.py", "/docs/..%2fapp.py", "/docs/%2e%2e/app.py", "/docs//etc/passwd"])
def test_nothing_outside_the_folder_is_served(client: FlaskClient, path: str) -> None:
    with client.get(path) as answer:
        assert answer.status_code in (308, 404)
        assert b"Blueprint" not in answer.data and b"root:" not in answer.data
