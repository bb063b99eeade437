"""Pages of other origins may call what the owner allows, and never with a visitor's cookie."""

from collections.abc import Callable, Iterator

import pytest
from flask import Blueprint, Response
from flask.testing import FlaskClient
from pydantic import ValidationError

from sluice import settings
from sluice.domain.errors import StoreUnavailable
from sluice.domain.settings.owners import OwnersSettings, Site
from sluice.domain.settings.versions import InForce
from sluice.http import cors
from sluice.http.app import create_app
from sluice.http.operation import Auth, operation
from sluice.services.any_origin import AnyOrigin


class Nobody:
    """No publishable API token exists."""

    def is_asked(self, now_s: int) -> bool:
        return False


class Somebody(Nobody):
    def is_asked(self, now_s: int) -> bool:
        return True


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}
LISTED, OTHER = "https://ada.example", "http://localhost:5173"


class Owners:
    """The owner's settings: these origins, or none."""

    def __init__(self, *origins: str) -> None:
        site = Site(allowed_origins=list(origins))
        self.current = self.known = lambda: InForce(1, 1, OwnersSettings(site=site))


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], FlaskClient]]:
    """A client of an app whose owner allows these origins."""

    def client(allowed: str) -> FlaskClient:
        monkeypatch.setenv("SLUICE_ALLOWED_ORIGINS", allowed)
        settings.common.cache_clear()
        monkeypatch.setattr(cors, "settings_in_force", Owners)
        monkeypatch.setattr(cors, "any_origin", Nobody)
        blueprint = Blueprint("some", __name__)

        @blueprint.get("/v1/limited")
        def limited() -> Response:
            return Response("no", 429, {"x-ratelimit-limit-requests": "1", "x-sluice-upstream": "demo"})

        @blueprint.post("/v1/broken")
        def broken() -> Response:
            raise RuntimeError

        @blueprint.get("/usage")
        @operation("Usage", tag="x", auth=Auth.SESSION)
        def usage(caller: object) -> Response:
            return Response("mine")

        @blueprint.get("/login")
        def page() -> Response:
            return Response("page")

        @blueprint.get("/metrics")
        @operation("Metrics", tag="x")
        def metrics() -> Response:
            return Response("metrics")

        return create_app([blueprint]).test_client()

    yield client
    settings.common.cache_clear()


def shared(answer: Response) -> str | None:
    assert "Access-Control-Allow-Credentials" not in answer.headers
    return answer.headers.get("Access-Control-Allow-Origin")


@pytest.mark.parametrize("path", ["/v1/limited", "/v1/broken", "/v1/unknown"])
def test_a_preflight_needs_no_token_and_allows_the_headers_it_asks_for(
    at: Callable[[str], FlaskClient], path: str
) -> None:
    answer = at("*").options(path, headers={"Origin": OTHER, **PREFLIGHT})
    assert (answer.status_code, answer.get_data()) == (204, b"")
    assert shared(answer) == "*"
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,content-type,x-stainless-lang"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"] and int(answer.headers["Access-Control-Max-Age"])


@pytest.mark.parametrize("asked", ["a" * 5000, "x\u00e9", "<script>"])
def test_a_preflight_repeats_nothing_that_is_no_header_name(at: Callable[[str], FlaskClient], asked: str) -> None:
    asking = {"Origin": OTHER, **PREFLIGHT, "Access-Control-Request-Headers": asked}
    answer = at("*").options("/v1/limited", headers=asking)
    assert answer.status_code == 204 and "Access-Control-Allow-Headers" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/limited", 429),
        ("POST", "/v1/broken", 500),
        ("GET", "/v1/unknown", 404),
        ("PUT", "/v1/limited", 405),
    ],
)
def test_every_answer_of_v1_can_be_read_errors_too(
    at: Callable[[str], FlaskClient], method: str, path: str, status: int
) -> None:
    answer = at("*").open(path, method=method, headers={"Origin": OTHER})
    assert (answer.status_code, shared(answer)) == (status, "*")
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"x-request-id", "x-sluice-request-id", "retry-after"} <= set(exposed)
    if status == 429:
        assert {"x-ratelimit-limit-requests", "x-sluice-upstream"} <= set(exposed)


def test_of_a_list_only_its_origins_are_answered_and_caches_keep_them_apart(at: Callable[[str], FlaskClient]) -> None:
    client = at(f"{LISTED}, https://b.example:8443")
    for origin, allowed in ((LISTED, LISTED), (LISTED.upper(), LISTED), (OTHER, None), ("null", None), (None, None)):
        answer = client.get("/v1/limited", headers={"Origin": origin} if origin else {})
        assert shared(answer) == allowed
        assert answer.headers.getlist("Vary") == ["Authorization, Origin"]
    refused = client.options("/v1/limited", headers={"Origin": OTHER, **PREFLIGHT})
    assert shared(refused) is None and "Access-Control-Allow-Headers" not in refused.headers


def test_the_account_api_answers_only_listed_origins(at: Callable[[str], FlaskClient]) -> None:
    client = at(f"*, {LISTED}")
    for path in ("/usage", "/auth/login"):
        assert shared(client.options(path, headers={"Origin": LISTED, **PREFLIGHT})) == LISTED
        assert shared(client.get(path, headers={"Origin": LISTED})) == LISTED
        assert shared(client.get(path, headers={"Origin": OTHER})) is None
        assert shared(client.options(path, headers={"Origin": OTHER, **PREFLIGHT})) is None
    assert shared(client.put("/usage", headers={"Origin": LISTED})) == LISTED, "also that of a wrong method"
    for path in ("/login", "/metrics", "/unknown"):
        assert shared(client.get(path, headers={"Origin": LISTED})) is None


def test_the_owners_origins_are_allowed_beside_the_operators(
    at: Callable[[str], FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = at(LISTED)
    monkeypatch.setattr(cors, "settings_in_force", lambda: Owners("https://b.example"))
    for origin, allowed in ((LISTED, LISTED), ("https://b.example", "https://b.example"), (OTHER, None)):
        for path in ("/v1/limited", "/usage"):
            assert shared(client.get(path, headers={"Origin": origin})) == allowed
    monkeypatch.setattr(cors, "settings_in_force", lambda: Owners("*"))
    client = at("")
    monkeypatch.setattr(cors, "settings_in_force", lambda: Owners("*"))
    assert shared(client.get("/v1/limited", headers={"Origin": OTHER})) == "*"
    assert shared(client.get("/usage", headers={"Origin": OTHER})) is None
    monkeypatch.setattr(cors, "settings_in_force", lambda: Owners("https://b.example"))
    assert "Origin" in client.get("/v1/limited").headers["Vary"]


def test_a_page_of_another_origin_reads_nothing_by_cookie(at: Callable[[str], FlaskClient]) -> None:
    client = at(LISTED)
    client.set_cookie("sluice_session", "ses_a.b")
    answer = client.get("/usage", headers={"Origin": LISTED})
    assert (answer.status_code, answer.get_json()["code"]) == (401, "not_authenticated")


def test_without_the_setting_nothing_is_allowed(at: Callable[[str], FlaskClient]) -> None:
    client = at("")
    for answer in (
        client.get("/v1/limited", headers={"Origin": OTHER}),
        client.options("/v1/limited", headers={"Origin": OTHER, **PREFLIGHT}),
    ):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]


@pytest.mark.parametrize(
    "wrong", ["app.example", "https://a.example/", "https://*.example", "https://u@a.example", "null"]
)
def test_what_is_no_origin_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(ValidationError, match="neither \\* nor an origin"):
        settings.Common(allowed_origins=wrong)


def test_while_publishable_tokens_exist_any_page_may_ask_v1_and_nothing_else(
    at: Callable[[str], FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = at(LISTED)
    monkeypatch.setattr(cors, "any_origin", Somebody)
    preflight = client.options("/v1/limited", headers={"Origin": OTHER, **PREFLIGHT})
    assert preflight.status_code == 204 and shared(preflight) == "*"
    assert shared(client.get("/v1/limited", headers={"Origin": OTHER})) == "*"
    assert shared(client.get("/v1/limited", headers={"Origin": LISTED})) == LISTED
    for path in ("/usage", "/auth/login"):
        assert shared(client.get(path, headers={"Origin": OTHER})) is None


def test_what_is_not_known_of_publishable_tokens_is_read_once_a_second_and_what_is_known_no_more() -> None:
    class Store:
        until, reads, away = 0, 0, False

        def announce(self, until_s: int) -> None:
            self.until = until_s

        def until_s(self) -> int:
            self.reads += 1
            if self.away:
                raise StoreUnavailable
            return self.until

    store, clock = Store(), [0.0]
    known, other = (AnyOrigin(store, lambda: clock[0]) for _ in range(2))
    assert not other.is_asked(100) and not other.is_asked(100) and store.reads == 1
    known.announce(200)
    assert known.is_asked(100) and store.reads == 1, "who issued it knows at once"
    clock[0], store.away = 1.0, True
    assert not other.is_asked(100)
    clock[0], store.away = 2.0, False
    assert other.is_asked(100) and other.is_asked(199) and store.reads == 3
    clock[0] = 3.0
    assert not other.is_asked(200)
