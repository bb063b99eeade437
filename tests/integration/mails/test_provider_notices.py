"""Bounces and complaints by webhook, as Postmark, Mailgun and Resend post them."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from functions.bounces import app as bounces
from sluice.domain.accounts.account import parse_address
from sluice.domain.errors import StoreUnavailable
from sluice.http.app import create_app
from sluice.wiring import peers, stores
from tests.integration.accounts.registration.world import Desk

ANN = "ann@example.com"
SECRET = "whsec_" + base64.b64encode(b"a secret of the test's own").decode()
Headers = dict[str, str]


def postmark(body: bytes, secret: str = SECRET, age_s: int = 0) -> tuple[bytes, Headers]:
    return body, {"Authorization": "Basic " + base64.b64encode(f"sluice:{secret}".encode()).decode()}


def mailgun(body: bytes, secret: str = SECRET, age_s: int = 0) -> tuple[bytes, Headers]:
    stamp, token = str(int(time.time()) - age_s), "a" * 50
    mac = hmac.new(secret.encode(), f"{stamp}{token}".encode(), hashlib.sha256).hexdigest()
    return json.dumps(
        {**json.loads(body), "signature": {"timestamp": stamp, "token": token, "signature": mac}}
    ).encode(), {}


def resend(body: bytes, secret: str = SECRET, age_s: int = 0) -> tuple[bytes, Headers]:
    stamp = str(int(time.time()) - age_s)
    key = base64.b64decode(secret.partition("_")[2] or "AAAA")
    mac = base64.b64encode(hmac.digest(key, b"msg_1." + stamp.encode() + b"." + body, hashlib.sha256)).decode()
    return body, {"svix-id": "msg_1", "svix-timestamp": stamp, "svix-signature": f"v1,AAAA v1,{mac}"}


PROVED = {"postmark": postmark, "mailgun": mailgun, "resend": resend}
BOUNCES: dict[str, Any] = {
    "postmark": {"RecordType": "Bounce", "Type": "HardBounce", "TypeCode": 1, "Email": ANN, "Inactive": True},
    "mailgun": {"event-data": {"event": "failed", "severity": "permanent", "reason": "bounce", "recipient": ANN}},
    "resend": {"type": "email.bounced", "data": {"to": [ANN], "bounce": {"type": "Permanent", "subType": "General"}}},
}
COMPLAINTS: dict[str, Any] = {
    "postmark": {"RecordType": "SpamComplaint", "Type": "SpamComplaint", "Email": ANN},
    "mailgun": {"event-data": {"event": "complained", "recipient": ANN}},
    "resend": {"type": "email.complained", "data": {"to": [f"Ann <{ANN}>"]}},
}
NOTHING: list[tuple[str, Any]] = [
    ("postmark", {"RecordType": "Bounce", "Type": "SoftBounce", "Email": ANN}),
    ("postmark", {"RecordType": "Delivery", "Recipient": ANN}),
    ("mailgun", {"event-data": {"event": "failed", "severity": "temporary", "reason": "generic", "recipient": ANN}}),
    ("mailgun", {"event-data": {"event": "failed", "severity": "permanent", "reason": "old", "recipient": ANN}}),
    ("mailgun", {"event-data": {"event": "delivered", "recipient": ANN}}),
    ("resend", {"type": "email.bounced", "data": {"to": [ANN], "bounce": {"type": "Transient"}}}),
    ("resend", {"type": "email.delivered", "data": {"to": [ANN]}}),
    ("resend", {"type": "email.bounced"}),
    ("postmark", {"RecordType": "SpamComplaint", "Email": 5}),
    ("postmark", {"RecordType": "SpamComplaint", "Email": "nobody"}),
    ("postmark", {}),
]


@pytest.fixture
def client(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    desk.register(ANN)
    monkeypatch.setattr(peers, "mail_notices_secret", lambda: SECRET)
    return create_app([bounces.blueprint]).test_client()


def post(client: FlaskClient, provider: str, notice: tuple[bytes, Headers]) -> int:
    return client.post(f"/mail/notices/{provider}", data=notice[0], headers=notice[1]).status_code


def proved(provider: str, notice: object, **how: Any) -> tuple[bytes, Headers]:
    return PROVED[provider](json.dumps(notice).encode(), **how)


def reason() -> str | None:
    return stores.account_store().mail_suppression(parse_address(ANN).key)


@pytest.mark.parametrize("provider", PROVED)
@pytest.mark.parametrize(("notices", "why"), [(BOUNCES, "bounce"), (COMPLAINTS, "complaint")])
def test_a_notice_ends_mails_to_the_address(client: FlaskClient, provider: str, notices: Any, why: str) -> None:
    for _ in range(2):  # providers repeat a notice
        assert post(client, provider, proved(provider, notices[provider])) == 204
    assert reason() == why


@pytest.mark.parametrize(("provider", "notice"), NOTHING)
def test_other_notices_end_nothing(client: FlaskClient, provider: str, notice: object) -> None:
    assert post(client, provider, proved(provider, notice)) == 204
    assert reason() is None


def changed(provider: str) -> Callable[[], tuple[bytes, Headers]]:
    """The same proof with another body or none of its parts."""

    def notice() -> tuple[bytes, Headers]:
        body, headers = proved(provider, BOUNCES[provider])
        if provider == "mailgun":
            return body.replace(b'"token": "aa', b'"token": "ab'), headers
        return body + b" ", {name: value.replace("sluice", "") for name, value in headers.items()}

    return notice


FORGED: list[tuple[str, Callable[[], tuple[bytes, Headers]]]] = [
    *((name, lambda name=name: proved(name, BOUNCES[name], secret="whsec_AAAA")) for name in PROVED),  # type: ignore[misc]
    *((name, lambda name=name: proved(name, BOUNCES[name], secret="")) for name in PROVED),  # type: ignore[misc]
    *((name, lambda name=name: (json.dumps(BOUNCES[name]).encode(), {})) for name in PROVED),  # type: ignore[misc]
    *((name, lambda name=name: proved(name, BOUNCES[name], age_s=400)) for name in ("mailgun", "resend")),  # type: ignore[misc]
    *((name, lambda name=name: proved(name, BOUNCES[name], age_s=-400)) for name in ("mailgun", "resend")),  # type: ignore[misc]
    ("mailgun", changed("mailgun")),
    ("resend", changed("resend")),
    ("postmark", lambda: (b"{}", {"Authorization": "Basic ÄÖ"})),
    ("postmark", lambda: (b"{}", {"Authorization": "Bearer " + SECRET})),
    ("mailgun", lambda: (b"[" * 100_000, {})),
    ("mailgun", lambda: (b"", {})),
    ("mailgun", lambda: (b'{"signature": {"timestamp": 5, "token": [], "signature": null}}', {})),
    ("resend", lambda: (b"", {"svix-id": "é", "svix-timestamp": "٣", "svix-signature": "v1,é v1, v2,"})),
]


@pytest.mark.parametrize("secret", ["whsec_", "*** - ***"])
def test_a_secret_of_another_provider_is_no_empty_key(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setattr(peers, "mail_notices_secret", lambda: secret)
    body, headers = proved("resend", BOUNCES["resend"])
    text = b"msg_1." + headers["svix-timestamp"].encode() + b"." + body
    mac = base64.b64encode(hmac.digest(b"", text, hashlib.sha256)).decode()
    assert post(client, "resend", (body, headers | {"svix-signature": f"v1,{mac}"})) == 401
    assert reason() is None


@pytest.mark.parametrize(("provider", "notice"), FORGED)
def test_what_is_not_proved_is_refused(
    client: FlaskClient, provider: str, notice: Callable[[], tuple[bytes, Headers]]
) -> None:
    assert post(client, provider, notice()) == 401
    assert reason() is None


def test_without_a_secret_and_for_another_provider_there_is_no_such_page(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert post(client, "pigeons", proved("postmark", BOUNCES["postmark"])) == 404
    monkeypatch.setattr(peers, "mail_notices_secret", lambda: "")
    assert post(client, "postmark", proved("postmark", BOUNCES["postmark"], secret="")) == 404


def test_while_the_store_is_unavailable_the_provider_is_asked_to_repeat(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> bool:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(type(stores.account_store()), "suppress_mail", away)
        assert post(client, "postmark", proved("postmark", BOUNCES["postmark"])) == 503
    assert post(client, "postmark", proved("postmark", BOUNCES["postmark"])) == 204
    assert reason() == "bounce"


def test_on_aws_the_function_answers_api_gateway_as_well_as_sns(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, headers = proved("postmark", BOUNCES["postmark"])
    sent = {
        "resource": "/mail/notices/{provider}", "path": "/mail/notices/postmark", "httpMethod": "POST",
        "headers": headers, "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None, "multiValueQueryStringParameters": None,
        "requestContext": {"stage": "live", "identity": {"sourceIp": "192.0.2.7"}},
        "body": body.decode(), "isBase64Encoded": False,
    }  # fmt: skip
    assert bounces.handler(sent, None)["statusCode"] == 204
    assert reason() == "bounce"
