"""Mails to owners about a login from a new place, a new password, or a new address."""

import pytest

from tests.integration.accounts.world import PASSWORD, switch_on_throttles
from tests.integration.operations.town import Town

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0 <b>call us</b>"


@pytest.fixture
def watched(town: Town, monkeypatch: pytest.MonkeyPatch) -> Town:
    """With throttles, which remember places, and a trusted proxy that reports the client's address."""
    monkeypatch.setenv("SLUICE_TRUSTED_PROXIES", "127.0.0.1")
    switch_on_throttles(monkeypatch)
    return town


def log_in(town: Town, email: str, client: str, password: str = PASSWORD) -> int:
    headers = {"X-Forwarded-For": client, "User-Agent": FIREFOX}
    body = {"email": email, "password": password}
    return town.world.client.post("/auth/login", json=body, headers=headers).status_code


def test_each_new_place_is_reported_once_without_the_clients_own_text(watched: Town) -> None:
    ann = watched.world.account()
    for client in ("192.0.2.1", "192.0.2.1", "198.51.100.7", "192.0.2.1", "198.51.100.7"):
        assert log_in(watched, ann.email, client) == 200
    told = [
        mail for mail in watched.everything("mails") if mail.get("to") == ann.email and mail["kind"] != "verify_email"
    ]
    assert sorted(mail["data"]["client"] for mail in told) == ["192.0.2.1", "198.51.100.7"]
    assert {mail["kind"] for mail in told} == {"new_sign_in"}
    assert {mail["data"]["agent"] for mail in told} == {"Firefox on Linux"}


def test_the_place_where_the_address_was_verified_is_not_new(watched: Town) -> None:
    body = {"email": "new@example.com", "password": PASSWORD}
    here = {"X-Forwarded-For": "192.0.2.1"}
    assert watched.world.client.post("/auth/register", json=body, headers=here).status_code == 202
    (account,) = [one for one in watched.everything("accounts") if one.get("email") == "new@example.com"]
    code = watched.code_of(account["pk"], "verify_email")
    answer = watched.world.client.post("/auth/verify-email", json={"token": code}, headers=here)
    assert answer.status_code == 200
    assert log_in(watched, "new@example.com", "192.0.2.1") == 200
    assert "new_sign_in" not in watched.mails_to("new@example.com")
    assert log_in(watched, "new@example.com", "203.0.113.9") == 200
    assert "new_sign_in" in watched.mails_to("new@example.com")


def test_without_throttles_no_place_is_reported(town: Town) -> None:
    ann = town.world.account()
    for _ in range(3):
        assert log_in(town, ann.email, "192.0.2.1") == 200
    assert "new_sign_in" not in town.mails_to(ann.email)


def test_failed_logins_send_no_mail(watched: Town) -> None:
    ann = watched.world.account()
    for n in range(5):
        assert log_in(watched, ann.email, f"192.0.2.{n}", "wrong wrong wrong") == 401
    assert "new_sign_in" not in watched.mails_to(ann.email)


def test_every_change_of_the_password_sends_a_mail(watched: Town) -> None:
    ann = watched.newcomer()
    body = {"current_password": PASSWORD, "new_password": "a whole new passphrase"}
    assert ann.call("POST", "/auth/change-password", body).status_code == 200
    watched.world.client.post("/auth/forgot-password", json={"email": ann.email})
    body = {"token": watched.code_of(ann.account_id, "reset_password"), "password": "yet another passphrase"}
    assert watched.world.client.post("/auth/reset-password", json=body).status_code == 200
    assert watched.mails_to(ann.email).count("password_changed") == 2


def test_a_change_of_address_sends_a_mail_to_the_old_one(watched: Town) -> None:
    ann = watched.newcomer()
    body = {"new_email": "else@example.com", "password": PASSWORD}
    assert ann.call("POST", "/auth/change-email", body).status_code == 202
    code = watched.code_of(ann.account_id, "change_email")
    assert watched.world.client.post("/auth/verify-email", json={"token": code}).status_code == 200
    assert "email_changed" in watched.mails_to(ann.email)
