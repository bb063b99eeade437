"""Mailed codes over HTTP: used once, for one purpose, in time; every bad code gets the same response."""

from typing import Any

import pytest

from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import MailedCodeInvalid
from sluice.domain.mails import mailed_codes
from tests.integration.accounts.registration.world import AT_ONCE, Desk, backdate, now_ms

ANN = "ann@example.com"
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


@pytest.fixture
def code(desk: Desk) -> str:
    desk.register(ANN)
    return desk.code(ANN)


def is_invalid(answer: Any) -> bool:
    assert answer.mimetype == "application/problem+json"
    return (answer.status_code, answer.json["code"]) == (400, "invalid_token")


def test_concurrent_uses_of_a_code_succeed_once(desk: Desk, code: str) -> None:
    answers = desk.at_once(desk.verify, [code] * AT_ONCE)
    taken = [answer for answer in answers if answer.status_code == 200]
    assert [answer.json for answer in taken] == [{"status": "verified"}]
    assert sum(is_invalid(answer) for answer in answers if answer not in taken) == AT_ONCE - 1
    assert desk.known(ANN).status == "active"


def test_a_used_code_is_invalid(desk: Desk, code: str) -> None:
    assert desk.verify(code).status_code == 200
    assert is_invalid(desk.verify(code))


def test_opening_the_link_does_not_use_the_code(desk: Desk, code: str) -> None:
    for _ in range(3):
        desk.app.test_client().get(f"/verify-email?token={code}")
        desk.app.test_client().head(f"/verify-email?token={code}")
    assert desk.known(ANN).status == "pending"
    assert desk.verify(code).status_code == 200


def test_a_code_is_invalid_for_another_purpose(desk: Desk, code: str) -> None:
    desk.post("/auth/forgot-password", email=ANN)
    reset = desk.code(ANN)
    assert reset != code
    assert is_invalid(desk.verify(reset))
    assert is_invalid(desk.post("/auth/reset-password", token=code, password="a whole new passphrase"))
    assert desk.known(ANN).status == "pending"
    assert desk.verify(code).status_code == 200  # neither attempt used it


def test_a_password_reset_verifies_the_address_and_invalidates_the_older_code(desk: Desk, code: str) -> None:
    desk.post("/auth/forgot-password", email=ANN)
    answer = desk.post("/auth/reset-password", token=desk.code(ANN), password="a whole new passphrase")
    assert answer.status_code == 200 and desk.known(ANN).status == "active"
    assert is_invalid(desk.verify(code))


def test_a_code_is_valid_for_a_day(desk: Desk, code: str) -> None:
    from sluice.wiring.accounts import verification

    def redeem(at_ms: int) -> str:
        return verification().redeem(code, Visitor("192.0.2.1", at_ms))

    ((_, registered),) = desk.known(ANN).registrations.items()
    expires_ms = registered.expires_ms
    assert 23 * HOUR_MS < expires_ms - now_ms() <= 24 * HOUR_MS
    with pytest.raises(MailedCodeInvalid):
        redeem(expires_ms)
    assert redeem(expires_ms - 1) == desk.known(ANN).account_id


def test_an_expired_code_is_invalid(desk: Desk, code: str) -> None:
    backdate(desk, desk.known(ANN).account_id, "expires_ms", 25 * HOUR_MS)
    assert is_invalid(desk.verify(code))
    assert desk.known(ANN).status == "pending"


def test_a_code_verifies_only_its_own_account(desk: Desk, code: str) -> None:
    desk.register("eve@example.com")
    assert desk.verify(desk.code("eve@example.com")).status_code == 200
    assert (desk.known("eve@example.com").status, desk.known(ANN).status) == ("active", "pending")


def test_every_bad_code_gets_the_same_response(desk: Desk, code: str) -> None:
    mail_id, mac = code.split(".")
    bad = [
        "",
        " ",
        ".",
        "x",
        code[:-1],
        code + "A",
        code + "\n",
        " " + code,
        code.upper(),
        mail_id,
        mac,
        f"{mail_id}.{mac[::-1]}",
        f"{mail_id}.{'A' * 43}",
        f"mail_0000000000000000.{mac}",
        f"mail_.{mac}",
        f"usr_{mail_id[5:]}.{mac}",
        mail_id + "." + mac[:-1] + "é",
        "ｍail_" + mail_id[5:] + "." + mac,
        "é.é",
        "\x00",
        "\ud83d\ude00" * 100,
        "x" * 500_000,
        f"mail_{'0' * 300_000}.{mac}",
        mailed_codes.make(b"another key of somebody else's..", "verify_email", mail_id, desk.known(ANN).account_id),
    ]
    said = {(answer.status_code, answer.json["code"], answer.json["detail"]) for answer in map(desk.verify, bad)}
    assert len(said) == 1 and said.pop()[:2] == (400, "invalid_token")
    assert desk.verify(code).status_code == 200


@pytest.mark.parametrize("path", ["/auth/verify-email", "/auth/reset-password"])
def test_a_lone_surrogate_in_a_code_is_refused_without_a_crash(desk: Desk, path: str) -> None:
    body = b'{"token": "mail_0000.\\ud800", "password": "a whole new passphrase"}'
    answer: Any = desk.client.post(path, data=body, content_type="application/json")
    assert answer.status_code == 400 and answer.json["code"] in ("invalid_json", "invalid_token")


def test_no_table_holds_a_code(desk: Desk, code: str, caplog: pytest.LogCaptureFixture) -> None:
    mac = code.split(".")[1]
    desk.verify(code)
    desk.verify(code)
    for table in ("accounts", "mails", "throttles", "audit"):
        assert mac not in str(desk.items(table))
    assert mac not in caplog.text
