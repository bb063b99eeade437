"""The pages under API Gateway's stage `/live`: functions do not get the prefix, but every link and form has it."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from functions.accounts import app as accounts
from functions.registration import app as registration
from functions.tokens import app as tokens
from functions.usage import app as usage
from functions.verification import app as verification
from functions.web import app as web
from sluice.adapters.aws import ssm
from sluice.adapters.tokens.keys import ensure_keys
from sluice.domain.errors import Unavailable
from sluice.http.on_lambda import wsgi
from tests.conftest import Store
from tests.integration.accounts.world import PASSWORD, World, forget_everything
from tests.integration.pages.browser import PageParser

HOST = "abc123.execute-api.eu-west-1.amazonaws.com"
STAGE = "/live"
SERVED_BY = {
    "/sign-up": registration,
    "/login": accounts,
    "/forgot-password": accounts,
    "/verify-email": verification,
}


class Parameters:
    def __init__(self) -> None:
        self.down, self.reads = False, 0

    def __call__(self, name: str) -> str:
        assert name == "/sluice/base-url"
        self.reads += 1
        if self.down:
            raise Unavailable()
        return f"https://{HOST}{STAGE}"


@pytest.fixture
def parameters(monkeypatch: pytest.MonkeyPatch) -> Parameters:
    made = Parameters()
    monkeypatch.setattr(ssm, "parameter", made)
    return made


@pytest.fixture
def world(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameters: Parameters) -> Iterator[World]:
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SLUICE_AUTH_THROTTLE", "off")
    monkeypatch.setenv("SLUICE_BASE_URL_PARAMETER", "/sluice/base-url")
    monkeypatch.delenv("SLUICE_BASE_URL", raising=False)
    forget_everything()
    wsgi.cache_clear()
    ensure_keys(tmp_path)
    yield World(None, None)  # type: ignore[arg-type]
    wsgi.cache_clear()
    forget_everything()


def event(method: str, path: str, form: dict[str, str] | None = None, cookies: str = "") -> dict[str, Any]:
    """An event of a REST API's stage `live`: `path` is without the stage, `requestContext.path` with it."""
    headers = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443", "Accept": "text/html"}
    if cookies:
        headers["Cookie"] = cookies
    if form is not None:
        headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://{HOST}"}
        headers["Sec-Fetch-Site"] = "same-origin"
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {
            "stage": STAGE[1:],
            "path": STAGE + path,
            "resourcePath": path,
            "domainName": HOST,
            "identity": {"sourceIp": "192.0.2.77"},
        },
        "body": None if form is None else b64encode(urlencode(form).encode()).decode(),
        "isBase64Encoded": form is not None,
    }


def parsed(answer: dict[str, Any]) -> PageParser:
    parser = PageParser()
    parser.feed(answer["body"])
    return parser


def header(answer: dict[str, Any], name: str) -> list[str]:
    return next((values for key, values in answer["multiValueHeaders"].items() if key.lower() == name), [])


def addresses(page: PageParser) -> list[str]:
    return [has[name] for _, has in page.tags for name in ("href", "src", "action") if has.get(name, "#")[0] == "/"]


@pytest.mark.parametrize("path", ["/", "/sign-up", "/login", "/forgot-password", "/verify-email", "/nowhere"])
def test_every_link_style_sheet_and_form_of_a_page_is_below_the_stage(world: World, path: str) -> None:
    function = SERVED_BY.get(path, web)
    found = addresses(parsed(function.handler(event("GET", path), None)))
    assert found and [address for address in found if not re.match(rf"{STAGE}(/|$)", address)] == []


def test_a_link_works_after_api_gateway_removed_the_stage(world: World) -> None:
    """Without the stage, as API Gateway passes it on, the path of the style sheet exists."""
    page = parsed(web.handler(event("GET", "/"), None))
    (sheet,) = [has["href"] for tag, has in page.tags if tag == "link" and has["rel"] == "stylesheet"]
    answer = web.handler(event("GET", urlsplit(sheet).path.removeprefix(STAGE)), None)
    assert answer["statusCode"] == 200 and header(answer, "content-type")[0].startswith("text/css")


def test_a_login_by_the_form_stays_below_the_stage_and_sets_secure_cookies(world: World) -> None:
    account = world.account()
    shown = accounts.handler(event("GET", "/login"), None)
    (cookie,) = header(shown, "set-cookie")
    assert cookie.startswith("__Host-sluice_form=") and "; Secure" in cookie and "; Path=/" in cookie
    (form,) = [each for each in parsed(shown).forms if each.action == f"{STAGE}/login"]
    sent = {**form.fields, "email": account.email, "password": PASSWORD}

    answer = accounts.handler(event("POST", "/login", sent, cookie.split(";")[0]), None)

    assert answer["statusCode"] == 303, answer["body"]
    assert header(answer, "location") == [f"{STAGE}/my/chats"]
    (session,) = header(answer, "set-cookie")
    assert session.startswith("__Host-sluice_session=ses_") and "; Secure" in session and "; Path=/" in session
    mine = parsed(tokens.handler(event("GET", "/my/tokens", cookies=session.split(";")[0]), None))
    assert f"{STAGE}/logout" in addresses(mine)


def test_a_stranger_is_sent_to_the_login_below_the_stage(world: World) -> None:
    answer = usage.handler(event("GET", "/my/usage"), None)
    assert answer["statusCode"] == 303
    assert header(answer, "location") == [f"{STAGE}/login?next=usage"]


def test_the_start_page_names_the_deployed_address(world: World) -> None:
    assert f"https://{HOST}{STAGE}" in web.handler(event("GET", "/"), None)["body"]


def test_the_stage_parameter_is_read_once(world: World, parameters: Parameters) -> None:
    for _ in range(3):
        web.handler(event("GET", "/"), None)
        accounts.handler(event("GET", "/login"), None)
    assert parameters.reads == 1


def test_without_the_parameter_pages_are_503_but_the_json_api_works(world: World, parameters: Parameters) -> None:
    account = world.account()
    parameters.down = True
    answer = accounts.handler(event("GET", "/login"), None)
    assert answer["statusCode"] == 503 and json.loads(answer["body"])["code"] == "unavailable"

    asked = event("POST", "/auth/login", {})
    asked["body"], asked["isBase64Encoded"] = json.dumps({"email": account.email, "password": PASSWORD}), False
    asked["multiValueHeaders"]["Content-Type"] = ["application/json"]
    assert accounts.handler(asked, None)["statusCode"] == 200

    parameters.down = False
    assert accounts.handler(event("GET", "/login"), None)["statusCode"] == 200
