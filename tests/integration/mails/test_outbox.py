"""`/_local/outbox` over HTTP, for programs on this machine and only on local runs that keep mails there."""

from typing import Any

import pytest

from sluice import settings
from tests.integration.accounts.registration.world import Desk

URL = "/_local/outbox"


@pytest.fixture
def mailed(desk: Desk) -> Desk:
    for email in ("ann@example.com", "eve@example.com"):
        desk.register(email)
    desk.deliver()
    return desk


def get(desk: Desk, peer: str = "127.0.0.1", host: str = "127.0.0.1:8080", **query: str) -> Any:
    environment = {"REMOTE_ADDR": peer, "HTTP_HOST": host}
    return desk.client.get(URL, query_string=query, environ_overrides=environment)


def refused(answer: Any) -> bool:
    assert "example.com" not in answer.text
    return (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_the_mails_of_an_address_are_listed_with_the_contracts_fields(mailed: Desk) -> None:
    answer = get(mailed, to="ANN@example.com")
    (mail,) = answer.json["data"]
    assert (mail["to"], mail["kind"]) == ("ann@example.com", "verify_email")
    assert {"to", "subject", "text", "html", "kind", "sent_at"} <= set(mail)
    assert "http://127.0.0.1:8080/verify-email?token=mail_" in mail["text"]
    assert mail["sent_at"].endswith("Z")
    assert len(get(mailed).json["data"]) == 2
    assert get(mailed, to="nobody@example.com").json == {"data": []}


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8080", "[::1]:8080", "[::1]"])
def test_the_outbox_is_shown_to_this_machine(local: Desk, peer: str, host: str) -> None:
    assert get(local, peer, host).status_code == 200


@pytest.mark.parametrize("peer", ["192.0.2.1", "10.0.0.1", "::2", "2001:db8::1", "169.254.1.1", "0.0.0.0", "", "x"])
def test_the_outbox_is_refused_to_another_machine(local: Desk, peer: str) -> None:
    assert refused(get(local, peer))


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil:80", "a@localhost"]
)
def test_a_foreign_host_name_is_refused(local: Desk, host: str) -> None:
    """Against DNS rebinding: a page whose name resolves to 127.0.0.1 could read the response."""
    assert refused(get(local, host=host))


def test_a_forwarded_header_does_not_make_a_client_local(local: Desk) -> None:
    headers = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost", "Forwarded": "for=127.0.0.1"}
    answer = local.client.get(URL, headers=headers, environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
    assert refused(answer)


@pytest.mark.parametrize("mail", ["ses", "smtp://127.0.0.1:25"])
def test_without_the_local_outbox_the_path_is_404(local: Desk, mail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_MAIL", mail)
    settings.mailer.cache_clear()
    assert refused(get(local))


@pytest.fixture
def local(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Needs no store."""
    from infra.local import outbox
    from tests.apps import app_of
    from tests.integration.accounts.world import forget_everything

    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SLUICE_MAIL", "outbox")
    forget_everything()
    app = app_of([outbox.blueprint])
    yield Desk(app, app.test_client(use_cookies=False))
    forget_everything()
