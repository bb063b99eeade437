"""SmtpMail on a real socket: plain, with a password, with TLS, and with servers that refuse or do not answer."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from sluice.adapters.mails import smtp as mail_smtp
from sluice.adapters.mails.render import render
from sluice.adapters.mails.smtp import SmtpMail
from sluice.domain.mails.mail import Kind, MailRefused, MailUndelivered, Message, new_mail
from sluice.domain.mails.servers import SmtpServer
from tests.tls import make_certificate
from tests.unit.mails.smtp_server import Behaviour, Server, smtp_server

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

NOW_MS = 1_800_000_000_000
USER = ("post", "p@ss:wörd/%")


def message(to: str = "ann@example.com", code: str = "mail_x.code") -> Message:
    mail = new_mail(Kind.VERIFY_EMAIL, account_id="usr_a", to=to, now_ms=NOW_MS, mail_id="mail_x")
    return render(mail, code, base_url="https://api.example.com", sender="Sluice <no-reply@example.org>")


def send(server: Server, to: str = "ann@example.com", **more: Any) -> None:
    tls = more.pop("tls", None)
    SmtpMail(SmtpServer("127.0.0.1", server.port, **more), tls).send(message(to), NOW_MS)


def test_a_mail_arrives_as_it_was_rendered() -> None:
    with smtp_server() as server:
        send(server)
        send(server)
    first, second = server.received
    assert first.sender.startswith("<no-reply@example.org>") and first.recipients == ["<ann@example.com>"]
    assert first.message["Message-ID"] == second.message["Message-ID"] == "<mail_x@example.org>"
    assert first.message["To"] == "ann@example.com" and first.message["Auto-Submitted"] == "auto-generated"
    assert first.message["Subject"] == "Verify your email address"
    text, html = (first.message.get_body((kind,)) for kind in ("plain", "html"))
    assert text and html
    link = "https://api.example.com/verify-email?token=mail_x.code"
    assert link in text.get_content() and f'href="{link}"' in html.get_content()
    assert link.encode() in first.raw  # unbroken also in the raw text
    assert not first.user and not first.secure


def test_a_domain_outside_ascii_is_written_in_idna_form() -> None:
    with smtp_server() as server:
        send(server, "ann@bücher.example")
    assert server.received[0].recipients == ["<ann@xn--bcher-kva.example>"]


def test_a_local_part_outside_ascii_is_refused_without_smtputf8() -> None:
    with smtp_server() as server, pytest.raises(MailRefused):
        send(server, "jürgen@example.com")
    assert not server.received
    with smtp_server(Behaviour(extensions=("SMTPUTF8", "8BITMIME"))) as server:
        send(server, "jürgen@example.com")
    assert len(server.received) == 1


def test_a_password_is_sent_in_the_clear_to_this_machine_only() -> None:
    with smtp_server(Behaviour(user=("post", "secret"))) as server:
        send(server, user="post", password="secret")
        assert server.received[0].user == "post"
        with pytest.raises(MailUndelivered):  # a typo in the settings, which may be corrected later
            send(server, user="post", password="wrong")
    assert len(server.received) == 1


def test_a_password_never_crosses_a_network_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_smtp, "is_loopback", lambda host: False)
    with smtp_server(Behaviour(user=("post", "secret"))) as server, pytest.raises(MailUndelivered):
        send(server, user="post", password="secret")
    assert not [line for line in server.said if line.upper().startswith("AUTH")]


@pytest.mark.parametrize("host, is_loopback", [("localhost", True), ("::1", True), ("10.0.0.1", False), ("x", False)])
def test_what_counts_as_this_machine(host: str, is_loopback: bool) -> None:
    assert mail_smtp.is_loopback(host) is is_loopback


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def of_server(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_starttls_is_used_if_the_server_offers_it(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_smtp, "is_loopback", lambda host: False)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with smtp_server(Behaviour(certificate=of_server(certificate), user=("post", "secret"))) as server:
        send(server, user="post", password="secret", tls=trusting)
    assert (server.received[0].secure, server.received[0].user) == (True, "post")


def test_a_server_with_an_untrusted_certificate_gets_no_mail(certificate: Path) -> None:
    with smtp_server(Behaviour(certificate=of_server(certificate))) as server, pytest.raises(MailUndelivered):
        send(server)
    assert not server.received


# --- a server that refuses or does not answer

LATER = {
    "greeting": {"connect": "421 too busy"},
    "greeting for good": {"connect": "554 not you"},
    "sender": {"mail": "451 later"},
    "sender for good": {"mail": "550 who are you"},
    "recipient": {"rcpt": "450 mailbox busy"},
    "greylisting": {"rcpt": "451 greylisted, come back"},
    "data": {"data": "451 later"},
    "text": {"data.": "452 disk full"},
    "nonsense": {"mail": "hello?"},
}
NEVER = {
    "no such mailbox": {"rcpt": "550 5.1.1 no such user"},
    "not a mailbox here": {"rcpt": "553 not here"},
    "spam": {"data.": "554 5.7.1 looks like spam"},
}


@pytest.mark.parametrize("answers", LATER.values(), ids=LATER.keys())
def test_a_temporary_refusal_is_retried_later(answers: dict[str, str]) -> None:
    with smtp_server(Behaviour(answers)) as server, pytest.raises(MailUndelivered):
        send(server)
    assert not server.received


@pytest.mark.parametrize("answers", NEVER.values(), ids=NEVER.keys())
def test_a_permanent_refusal_is_final(answers: dict[str, str]) -> None:
    with smtp_server(Behaviour(answers)) as server, pytest.raises(MailRefused) as refusal:
        send(server)
    assert "ann@example.com" not in str(refusal.value)


def test_an_error_after_the_mail_was_accepted_changes_nothing() -> None:
    with smtp_server(Behaviour({"quit": "500 what?"})) as server:
        send(server)
    assert len(server.received) == 1


@pytest.mark.parametrize("verb", ["connect", "ehlo", "mail", "rcpt", "data", "data."])
def test_a_silent_server_is_given_up(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_smtp, "TIMEOUT_SECONDS", 0.1)
    with smtp_server(Behaviour(silent_at=verb)) as server, pytest.raises(MailUndelivered):
        send(server)


def test_a_mail_counts_as_sent_if_the_server_is_silent_after_accepting_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_smtp, "TIMEOUT_SECONDS", 3.0)  # for each answer of the others, too
    with smtp_server(Behaviour(silent_at="quit")) as server:
        send(server)
    assert len(server.received) == 1


def test_the_whole_delivery_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_smtp, "DEADLINE_SECONDS", 0.1)
    with smtp_server(Behaviour(silent_at="data.")) as server, pytest.raises(MailUndelivered):
        send(server)


def test_an_unreachable_server_leaves_the_mail_undelivered() -> None:
    with smtp_server() as server:
        pass
    with pytest.raises(MailUndelivered):
        send(server)
