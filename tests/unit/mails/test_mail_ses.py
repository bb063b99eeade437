"""SesMail against moto, and what each of SES's errors means for the mail."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError
from moto import mock_aws
from moto.ses.models import ses_backends

from sluice.adapters.mails import ses as mail_ses
from sluice.adapters.mails.render import render
from sluice.adapters.mails.ses import SesMail
from sluice.domain.mails.mail import Kind, MailRefused, MailUndelivered, Message, new_mail

NOW_MS = 1_800_000_000_000
SENDER = "no-reply@example.org"


def message(to: str = "ann@example.com") -> Message:
    mail = new_mail(Kind.VERIFY_EMAIL, account_id="usr_a", to=to, now_ms=NOW_MS, mail_id="mail_x")
    return render(mail, "mail_x.code", base_url="https://api.example.com", sender=f"Sluice <{SENDER}>")


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    mail_ses._client.cache_clear()
    with mock_aws():
        yield "us-east-1"
    mail_ses._client.cache_clear()


def test_a_mail_is_sent_with_both_its_parts(region: str) -> None:
    boto3.client("ses", region).verify_email_identity(EmailAddress=SENDER)
    SesMail().send(message("ann@bücher.example"), NOW_MS)
    (sent,) = ses_backends["123456789012"][region].sent_messages
    assert set(sent.destinations) == {"ann@xn--bcher-kva.example"} and SENDER in sent.source
    for part in ("<mail_x@example.org>", "text/plain", "text/html", "https://api.example.com/verify-email?token="):
        assert part in sent.raw_data


def client_that_fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    class Client:
        def send_raw_email(self, **arguments: Any) -> None:
            raise error

    monkeypatch.setattr(mail_ses, "_client", Client)


def said(code: str, words: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": words}}, "SendRawEmail")


@pytest.mark.parametrize(
    "error",
    [
        said("Throttling", "Maximum sending rate exceeded."),
        said("Throttling", "Daily message quota exceeded."),
        said("AccountSendingPausedException"),
        said("MailFromDomainNotVerifiedException"),
        said("MessageRejected", "Email address is not verified. The following identities failed the check: …"),
        said("AccessDenied"),
        said("InternalFailure"),
        ConnectTimeoutError(endpoint_url="https://email.us-east-1.amazonaws.com"),
        NoCredentialsError(),
    ],
)
def test_errors_that_may_pass_are_retried_later(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    client_that_fails(monkeypatch, error)
    with pytest.raises(MailUndelivered):
        SesMail().send(message(), NOW_MS)


@pytest.mark.parametrize(
    "error", [said("MessageRejected", "Content is a virus."), said("InvalidParameterValue", "Local address contains…")]
)
def test_errors_of_the_mail_itself_are_final(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    client_that_fails(monkeypatch, error)
    with pytest.raises(MailRefused):
        SesMail().send(message(), NOW_MS)
