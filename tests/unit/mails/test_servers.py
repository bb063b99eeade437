"""SLUICE_MAIL: `smtp://user:pass@host:port`, or a provider and its secret."""

import pytest

from sluice.domain.mails.servers import PROVIDERS, SmtpServer, parse_mail_server


@pytest.mark.parametrize(
    "url, meant",
    [
        ("smtp://mail.example.com", SmtpServer("mail.example.com", 25)),
        ("smtp://mail.example.com:587", SmtpServer("mail.example.com", 587)),
        ("smtp://127.0.0.1:1025/", SmtpServer("127.0.0.1", 1025)),
        ("smtp://[::1]:1025", SmtpServer("::1", 1025)),
        ("smtps://mail.example.com", SmtpServer("mail.example.com", 465, tls=True)),
        ("smtp://ann:secret@mail.example.com:587", SmtpServer("mail.example.com", 587, "ann", "secret")),
        ("smtp://ann%40example.com:p%40ss%3Aw%2F@m.example", SmtpServer("m.example", 25, "ann@example.com", "p@ss:w/")),
        ("postmark://aB-1", SmtpServer("smtp.postmarkapp.com", 587, "aB-1", "aB-1", provider="postmark")),
        ("resend://re_Ab1", SmtpServer("smtp.resend.com", 587, "resend", "re_Ab1", provider="resend")),
        (
            "mailgun://post%40mg.example.org:Ab1",
            SmtpServer("smtp.mailgun.org", 587, "post@mg.example.org", "Ab1", provider="mailgun"),
        ),
        ("mailgun://post:Ab1@eu", SmtpServer("smtp.eu.mailgun.org", 587, "post", "Ab1", provider="mailgun")),
        (
            "ses://AKIA:a%2Fb+c=@eu-west-1",
            SmtpServer("email-smtp.eu-west-1.amazonaws.com", 587, "AKIA", "a/b+c=", provider="ses"),
        ),
    ],
)
def test_a_mail_servers_url_is_read(url: str, meant: SmtpServer) -> None:
    assert parse_mail_server(url) == meant


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pigeon",
        "http://ann:secret@example.com",
        "smtp://",
        "smtp://ann:secret@",
        "smtp://ann:secret@example.com:port",
        "smtp://ann:secret@example.com:99999",
        "smtp://ann:secret@example.com/inbox",
        "smtp://ann:secret@example.com?x=1",
        "smtp://ann@example.com",
        "smtp://ann:secret@[::1",
        "postmark://",
        "postmark://secret@eu",
        "resend://sec/secret",
        "mailgun://secret",
        "mailgun://ann:secret@us",
        "ses://ann:secret",
        "ses://ann:secret@evil.example/",
        "ses://ann:secret@eu-west-1:25",
    ],
)
def test_an_invalid_url_is_refused_without_quoting_its_password(url: str) -> None:
    with pytest.raises(ValueError) as refusal:
        parse_mail_server(url)
    assert "secret" not in str(refusal.value) and str(refusal.value)


def test_the_repr_of_a_server_shows_no_password() -> None:
    assert "secret" not in repr(parse_mail_server("smtp://ann:secret@example.com"))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_is_written_as_its_form_says(provider: str) -> None:
    form = PROVIDERS[provider].form.split()[0].replace("REGION", "eu-west-1")
    assert parse_mail_server(form).provider == provider
    with pytest.raises(ValueError, match=f"{provider}://"):
        parse_mail_server(f"{provider}://")
