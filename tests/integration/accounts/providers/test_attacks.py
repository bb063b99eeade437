"""Hostile answers: each is refused in words, and nobody is logged in, made or linked by it.

The numbers are sections of OpenID Connect Core 1.0, or RFCs.
"""

import base64
import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest

from tests.fakes.provider import CLIENT, SECRET, Key, ScriptedProvider
from tests.integration.accounts.providers.house import BASE, PASSWORD, House, Surfer


def refused(house: House, browser: Surfer, page: Any, status: int = 401) -> None:
    assert page.status == status, page.text
    assert not browser.is_logged_in
    assert house.of("ann@example.com") is None


# --- the browser's part: state, cookie, code


def test_an_answer_without_the_browsers_own_cookie_is_refused(house: House) -> None:
    """Login CSRF (RFC 6749, 10.12): the attacker's answer in the victim's browser."""
    attacker, victim = house.browser(), house.browser()
    answer = house.provider.approve(attacker.start(), sub="eve", email="eve@example.com")
    refused(house, victim, victim.back(answer))
    victim.start()
    refused(house, victim, victim.back(answer))
    assert house.of("eve@example.com") is None
    assert house.provider.asked["/token"] == 0  # the code was not even asked about


@pytest.mark.parametrize("state", ["", "x", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_another_state_is_refused(house: House, state: str) -> None:
    browser = house.browser()
    answer = house.provider.approve(browser.start())
    refused(house, browser, browser.back({**answer, "state": state}))
    refused(house, browser, browser.back(answer))  # and the right one is used up with it


def test_a_used_answer_is_refused_even_if_the_provider_takes_its_code_again(house: House) -> None:
    house.provider.checks_codes = False
    browser = house.browser()
    answer = house.provider.approve(browser.start())
    cookie = browser.client.get_cookie("sluice_provider")
    assert cookie is not None
    assert browser.back(answer).status == 303
    thief = house.browser()
    thief.client.set_cookie("sluice_provider", cookie.value)
    assert thief.back(answer).status == 401 and not thief.is_logged_in


def test_an_old_answer_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.domain.accounts import factors

    monkeypatch.setattr(factors, "SETUP_MS", -1)
    browser = house.browser()
    refused(house, browser, browser.sign_in())


def test_a_stolen_code_is_of_no_use_in_another_browser(house: House) -> None:
    """PKCE (RFC 7636): its verifier never left the site."""
    victim, thief = house.browser(), house.browser()
    stolen = house.provider.approve(victim.start())
    mine = house.provider.approve(thief.start())
    refused(house, thief, thief.back({**mine, "code": stolen["code"]}))


def test_the_request_has_pkce_state_nonce_and_the_one_way_back(house: House) -> None:
    asked = [dict(parse_qsl(urlsplit(house.browser().start()).query)) for _ in range(2)]
    for one in asked:
        assert one["code_challenge_method"] == "S256" and len(one["code_challenge"]) == 43
        assert one["redirect_uri"] == BASE + "/auth/oidc/acme/callback" and one["response_type"] == "code"
        assert one["scope"].split()[0] == "openid" and one["client_id"] == CLIENT
        assert SECRET not in json.dumps(one)
    for name in ("state", "nonce", "code_challenge"):
        assert asked[0][name] != asked[1][name]


def test_a_refusal_there_is_told_in_words(house: House) -> None:
    browser = house.browser()
    state = house.provider.approve(browser.start())["state"]
    page = browser.back({"error": "access_denied", "error_description": "<b>Call +1 555</b>", "state": state})
    refused(house, browser, page)
    assert "cancelled" in page.text and "555" not in page.html


# --- which provider it was


@pytest.mark.parametrize("iss", [None, "https://evil.example", "", "PROVIDER/"])
def test_an_answer_that_names_another_issuer_is_refused_where_one_is_promised(house: House, iss: str | None) -> None:
    """Mix-up (RFC 9207)."""
    house.provider.more = {"authorization_response_iss_parameter_supported": True}
    browser = house.browser()
    answer = house.provider.approve(browser.start())
    answer.pop("iss")
    named = {} if iss is None else {"iss": iss.replace("PROVIDER", house.provider.issuer)}
    refused(house, browser, browser.back({**answer, **named}))
    assert house.provider.asked["/token"] == 0
    assert house.browser().sign_in().status == 303


def test_an_answer_that_names_another_issuer_is_refused_where_none_is_promised(house: House) -> None:
    browser = house.browser()
    answer = house.provider.approve(browser.start())
    refused(house, browser, browser.back({**answer, "iss": "https://evil.example"}))


def test_an_answer_to_one_provider_is_refused_at_anothers_address(house: House) -> None:
    other = ScriptedProvider()
    try:
        house.configure({"name": "other", "title": "Other", "issuer": other.issuer, "key": "env:PROVIDER_SECRET"})
        browser = house.browser()
        answer = house.provider.approve(browser.start())
        refused(house, browser, browser.back(answer, "other"))
        assert other.asked["/token"] == 0 and house.provider.asked["/token"] == 0
    finally:
        other.close()


def test_the_same_subject_of_another_provider_is_somebody_else(house: House) -> None:
    other = ScriptedProvider()
    try:
        house.configure({"name": "other", "title": "Other", "issuer": other.issuer, "key": "env:PROVIDER_SECRET"})
        house.browser().sign_in()
        eve = Surfer(house.world.app.test_client(), other)
        page = eve.sign_in("other", sub="ann", email="eve@example.com")
        assert page.status == 303
        assert eve.get("/account").answer.json["email"] == "eve@example.com"  # type: ignore[index]
    finally:
        other.close()


def test_a_description_of_another_issuer_is_refused(house: House) -> None:
    house.provider.more = {"issuer": "https://accounts.example.com"}
    page = house.browser().get("/auth/oidc/acme/start")
    assert page.status == 503 and "Acme does not answer as it should" in page.text


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize(
    "url",
    [
        "http://203.0.113.7/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        7,
        None,
        "//x",
        "https://x.example/\r\nSet-Cookie: a=b",
        "https://x.example:port/",
    ],
)
def test_addresses_that_are_not_https_are_refused(house: House, name: str, url: object) -> None:
    house.provider.more = {name: url}
    browser = house.browser()
    page = browser.get("/auth/oidc/acme/start")
    if page.status == 303:
        page = browser.back(house.provider.approve(page.answer.headers["Location"]))
    refused(house, browser, page, 503)


def test_a_description_of_a_far_provider_cannot_name_this_machine() -> None:
    from sluice.adapters.accounts.providers.fetch import Unusable, require_safe

    local = "http://127.0.0.1:8123/token"
    assert require_safe(local, "http://localhost:9000") == local
    with pytest.raises(Unusable):
        require_safe(local, "https://accounts.example.com")


# --- the id token (3.1.3.7)


LONG_AGO, FAR_OFF = 1_000_000_000, 32_000_000_000  # Unix seconds


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://accounts.example.com"},
        {"iss": None},
        {"aud": "somebody-else"},
        {"aud": []},
        {"aud": ["somebody-else", "and-another"]},
        {"aud": [CLIENT, "somebody-else"]},  # without azp
        {"aud": [CLIENT, "somebody-else"], "azp": "somebody-else"},
        {"azp": "somebody-else"},
        {"exp": LONG_AGO},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": None},
        {"iat": FAR_OFF},
        {"nbf": FAR_OFF},
        {"sub": ""},
        {"sub": None},
        {"sub": 7},
        {"sub": "x" * 256},
    ],
    ids=str,
)
def test_an_id_token_for_another_time_place_or_person_is_refused(house: House, claims: dict[str, Any]) -> None:
    house.provider.claims = claims
    house.provider.sign = lambda all_: house.provider.signed({k: v for k, v in all_.items() if v is not None})
    browser = house.browser()
    refused(house, browser, browser.sign_in(sub=claims.get("sub", "ann")))


def test_an_id_token_for_several_is_taken_if_this_site_is_its_authorized_party(house: House) -> None:
    house.provider.claims = {"aud": [CLIENT, "somebody-else"], "azp": CLIENT}
    assert house.browser().sign_in().status == 303


def by_hmac(secret: str) -> Callable[[dict[str, Any]], str]:
    def sign(claims: dict[str, Any]) -> str:
        head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=").decode()
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        digest = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
            f"{head}.{body}".encode(), secret.encode()
        )
        return f"{head}.{body}." + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    return sign


def by_public_key(claims: dict[str, Any]) -> str:
    """The published key as HMAC's secret (CVE-2016-10555)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = Key("one").private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return by_hmac(public.decode())(claims)


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, "none", {"kid": "one"})


def by_anothers_key(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, Key("x", 1).private, "RS256", {"kid": "one"})


def by_a_key_in_its_head(claims: dict[str, Any]) -> str:
    other = Key("one", 1)
    return jwt.encode(claims, other.private, "RS256", {"kid": "one", "jwk": other.public})


def with_a_changed_body(claims: dict[str, Any]) -> str:
    head, _, signature = by_right_key(claims).split(".")
    body = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "eve"}).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


def by_right_key(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, Key("one").private, "RS256", {"kid": "one"})


def with_crit(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, Key("one").private, "RS256", {"kid": "one", "crit": ["x"], "x": 1})


@pytest.mark.parametrize(
    "sign",
    [
        by_hmac(SECRET),
        by_public_key,
        unsigned,
        by_anothers_key,
        by_a_key_in_its_head,
        with_a_changed_body,
        with_crit,
        lambda _: "not a token",
        lambda _: "a.b.c",
        lambda _: "",
        lambda claims: by_right_key({**claims, "pad": "x" * 20_000}),
    ],
)
def test_an_id_token_that_the_provider_did_not_sign_is_refused(
    house: House, sign: Callable[[dict[str, Any]], str]
) -> None:
    house.provider.sign = sign
    browser = house.browser()
    refused(house, browser, browser.sign_in())


@pytest.mark.parametrize("kind", ["oct", "RSA-enc"])
def test_a_published_key_that_is_no_signing_key_verifies_nothing(house: House, kind: str) -> None:
    provider = house.provider

    class Odd(Key):
        @property
        def public(self) -> dict[str, Any]:
            if kind == "oct":
                raw = base64.urlsafe_b64encode(b"known to everybody, 32 bytes long").rstrip(b"=").decode()
                return {"kty": "oct", "k": raw, "kid": "odd"}
            return {**super().public, "use": "enc"}

    provider.published = [Key("one"), Odd("odd", 1)]
    odd = by_hmac("known to everybody, 32 bytes long")
    enc = Key("odd", 1)
    provider.sign = odd if kind == "oct" else lambda claims: jwt.encode(claims, enc.private, "RS256", {"kid": "odd"})
    browser = house.browser()
    refused(house, browser, browser.sign_in())


# --- the address


@pytest.mark.parametrize(
    "about",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "false"},
        {"email_verified": 1.5},
        {"email": None},
        {"email": ""},
        {"email": "no address"},
        {"email": ["ann@example.com"]},
        {"email": "ann@example.com\r\nBcc: all@example.com"},
    ],
    ids=str,
)
def test_an_address_that_the_provider_has_not_verified_makes_and_links_nothing(
    house: House, about: dict[str, Any]
) -> None:
    browser = house.browser()
    page = browser.sign_in(**about)
    refused(house, browser, page, 403)
    assert "tells no verified email address" in page.text
    account = house.account()
    browser.log_in(account.email, PASSWORD)
    assert browser.sign_in(query={"aim": "link"}, **about).status == 403
    assert house.of(account.email).identities == {}  # type: ignore[union-attr]


def test_spellings_of_an_address_are_one(house: House) -> None:
    house.account("ann@example.com")
    page = house.browser().sign_in(email="ANN@Example.COM")
    assert page.answer.headers["Location"].startswith("/login?note=link")


# --- where it leads


@pytest.mark.parametrize(
    "wanted", ["https://evil.example", "//evil.example", "/my/tokens", "javascript:alert(1)", "nothing", "\\evil"]
)
def test_next_leads_to_own_pages_only(house: House, wanted: str) -> None:
    browser = house.browser()
    assert browser.sign_in(query={"next": wanted}).answer.headers["Location"] == "/my/chats"
    assert house.browser().sign_in(query={"next": "tokens"}).answer.headers["Location"] == "/my/tokens"


def test_a_link_or_a_confirmation_belongs_to_the_session_that_began_it(house: House) -> None:
    ann, bo = house.account(), house.account("bo@example.com")
    for aim in ("link", "confirm"):
        assert house.browser().get(f"/auth/oidc/acme/start?aim={aim}").answer.headers["Location"].startswith("/login")
        browser = house.browser()
        browser.log_in(bo.email, PASSWORD)
        answer = house.provider.approve(browser.start(aim=aim))
        browser.log_in(ann.email, PASSWORD)
        assert browser.back(answer).answer.headers["Location"].startswith("/login")
    assert house.of(ann.email).identities == {}  # type: ignore[union-attr]


def test_a_confirmation_by_a_foreign_identity_confirms_nothing(house: House) -> None:
    house.browser().sign_in(sub="eve", email="eve@example.com")
    browser = house.browser()
    browser.sign_in()
    for claims in ({"sub": "eve", "email": "eve@example.com"}, {"sub": "new", "email": "ann@example.com"}):
        assert browser.sign_in(query={"aim": "confirm"}, **claims).status == 401


def test_unknown_providers_are_404(house: House) -> None:
    for place in ("start", "callback"):
        assert house.browser().get(f"/auth/oidc/nobody/{place}").status == 404
        answer = house.world.client.get(f"/auth/oidc/nobody/{place}")
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")  # type: ignore[index]


def test_the_link_is_asked_by_this_sites_own_page_only(house: House) -> None:
    ann = house.account()
    browser = house.browser()
    browser.log_in(ann.email, PASSWORD)
    asked = browser.follow(browser.sign_in(query={"aim": "link"}))
    fields = asked.form("/my/link-sign-in").fields
    crossing = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Accept": "text/html"}
    assert browser.post("/my/link-sign-in", fields, crossing).status == 403
    assert browser.post("/my/link-sign-in", {**fields, "form_token": "x"}).status == 403
    assert house.of(ann.email).identities == {}  # type: ignore[union-attr]


# --- a provider that is dead, slow, huge or garbled


def hang_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def drip(connection: socket.socket) -> None:
    for _ in range(600):
        connection.sendall(b"H")
        time.sleep(0.05)


def drip_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    drip(connection)


def flood(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(200):
        connection.sendall(b" " * 65_536)


def redirect(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")


BROKEN = {
    "hang up": hang_up,
    "drip": drip,
    "drip body": drip_body,
    "flood": flood,
    "redirect": redirect,
    "garbage": b"\xff\xfe<html>",
    "deep": b"[" * 100_000,
    "number": b"7",
    "list": b"[]",
    "null": b"null",
    "empty object": b"{}",
    "keys of no form": b'{"keys": 7}',
    "no keys": b'{"keys": []}',
    "odd keys": b'{"keys": [7, null, {"kty": "RSA"}, {"kty": "EC", "crv": "P-256", "x": "!"}]}',
}


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
@pytest.mark.parametrize("how", BROKEN)
def test_a_provider_out_of_order_is_503_in_words(
    house: House, monkeypatch: pytest.MonkeyPatch, path: str, how: str
) -> None:
    from sluice.adapters.accounts.providers import fetch

    house.provider.broken[path] = BROKEN[how]
    browser = house.browser()
    with monkeypatch.context() as impatient:
        if "drip" in how:
            impatient.setattr(fetch, "BOUNDS", replace(fetch.BOUNDS, seconds=0.3))
        page = browser.get("/auth/oidc/acme/start")
        if page.status == 303:
            page = browser.back(house.provider.approve(page.answer.headers["Location"]))
    refused(house, browser, page, 503)
    assert "Acme does not answer as it should" in page.text and house.provider.issuer not in page.html
    account = house.account("bo@example.com")
    browser.log_in(account.email, PASSWORD)
    assert browser.is_logged_in  # the password works
    house.provider.broken.clear()
    assert house.browser().sign_in().status == 303  # and the provider, as soon as it is back


def test_a_body_that_ends_with_its_connection_ends_at_the_deadline_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.adapters.accounts.providers import fetch

    def drip_and_end(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.05)
        connection.sendall(b"{}")

    monkeypatch.setattr(fetch, "BOUNDS", replace(fetch.BOUNDS, seconds=0.3))
    house.provider.broken["/keys"] = drip_and_end
    with pytest.raises(fetch.Unusable):
        fetch.get(house.provider.issuer + "/keys")


def test_a_provider_that_is_gone_is_503_and_the_login_page_stays(house: House) -> None:
    house.provider.close()
    browser = house.browser()
    assert browser.get("/auth/oidc/acme/start").status == 503
    assert "Continue with Acme" in browser.get("/login").text


def test_a_wrong_or_missing_secret_is_the_sites_fault_and_not_the_persons(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.integration.accounts.world import forget_everything

    for change in (
        lambda: monkeypatch.setenv("PROVIDER_SECRET", "wrong"),
        lambda: monkeypatch.delenv("PROVIDER_SECRET"),
    ):
        change()
        forget_everything()
        assert house.browser().sign_in().status == 503


@pytest.mark.parametrize("ways", [["client_secret_post"], ["client_secret_basic", "client_secret_post"]])
def test_the_secret_is_sent_as_the_provider_wants_it(house: House, ways: list[str]) -> None:
    house.provider.more = {"token_endpoint_auth_methods_supported": ways}
    assert house.browser().sign_in().status == 303


# --- keys that change


def test_a_new_key_is_found_at_once_and_an_unknown_one_is_looked_for_once_a_minute(house: House) -> None:
    assert house.browser().sign_in().status == 303
    house.provider.rotate()
    assert house.browser().sign_in().status == 303
    asked = house.provider.asked["/keys"]
    assert asked == 2
    house.provider.rotate(publish=False)
    for _ in range(3):
        assert house.browser().sign_in().status == 401
    assert house.provider.asked["/keys"] == asked
    assert house.provider.asked["/.well-known/openid-configuration"] == 1


def test_a_withdrawn_key_ends_when_the_keys_are_read_again(house: House) -> None:
    from sluice.wiring.accounts import providers

    assert house.browser().sign_in().status == 303
    known = providers()["acme"]
    old, house.provider.published = house.provider.key, [Key("two", 1)]
    assert house.browser().sign_in().status == 303  # within the hour
    clock = known._clock  # type: ignore[attr-defined]
    known._clock = lambda: clock() + 3601  # type: ignore[attr-defined]
    assert house.provider.key is old and house.browser().sign_in().status == 401


# --- GitHub


PRIMARY = {"email": "ann@example.com", "primary": True, "verified": True}


def test_github_tells_the_primary_and_verified_address(house: House) -> None:
    house.provider.emails = [{"email": "old@example.com", "primary": False, "verified": True}, PRIMARY]
    browser = house.browser()
    assert browser.sign_in("github", sub="7").status == 303 and browser.is_logged_in
    account = house.of("ann@example.com")
    assert account is not None
    (one,) = account.identities.values()
    assert (one.issuer, one.subject, one.provider) == (house.provider.issuer, "7", "github")


@pytest.mark.parametrize(
    "emails",
    [[], [{**PRIMARY, "verified": False}], [{**PRIMARY, "primary": False}], [{**PRIMARY, "verified": "yes"}]],
)
def test_github_without_such_an_address_makes_no_account(house: House, emails: list[dict[str, Any]]) -> None:
    house.provider.emails = emails
    browser = house.browser()
    refused(house, browser, browser.sign_in("github", sub="7"), 403)


def test_githubs_code_counts_once_and_in_its_browser_only(house: House) -> None:
    house.provider.emails = [PRIMARY]
    victim, thief = house.browser(), house.browser()
    stolen = house.provider.approve(victim.start("github"), sub="7")
    mine = house.provider.approve(thief.start("github"), sub="8")
    refused(house, thief, thief.back({**mine, "code": stolen["code"]}, "github"))


@pytest.mark.parametrize("path", ["/login/oauth/access_token", "/api/v3/user", "/api/v3/user/emails"])
@pytest.mark.parametrize("how", ["hang up", "garbage", "number", "null", "redirect"])
def test_a_github_out_of_order_is_503_in_words(house: House, path: str, how: str) -> None:
    house.provider.broken[path], house.provider.emails = BROKEN[how], [PRIMARY]
    browser = house.browser()
    refused(house, browser, browser.sign_in("github", sub="7"), 503)


# --- no store, and a flood


def test_without_the_store_it_is_503_and_the_answer_still_counts_afterwards(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.ports import free_port
    from tests.store_clients import forget_store_clients

    browser = house.browser()
    answer = house.provider.approve(browser.start())
    with monkeypatch.context() as gone:
        gone.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{free_port()}")
        forget_store_clients()
        assert browser.back(answer).status == 503
        assert browser.get("/auth/oidc/acme/start").status == 503
        session = {"Authorization": "Bearer ses_0000000000000000." + "A" * 43}
        assert house.world.client.delete("/account/identities/idn_x", headers=session).status_code == 503
    forget_store_clients()
    assert browser.back(answer).status == 303 and browser.is_logged_in


def test_a_client_that_begins_again_and_again_has_to_wait(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.domain.accounts.throttles import START_CLIENT
    from tests.integration.accounts.world import switch_on_throttles

    switch_on_throttles(monkeypatch)
    browser = house.browser()
    for _ in range(START_CLIENT.free):
        browser.start()
    assert [browser.get("/auth/oidc/acme/start").status for _ in range(2)][-1] == 429
