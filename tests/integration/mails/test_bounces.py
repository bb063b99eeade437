"""Bounced mails and complaints: SES's notices as SNS delivers them, and their effect on the mailer."""

import json
from pathlib import Path
from typing import Any

import pytest

from functions.bounces import app as bounces
from functions.mailer import app as mailer
from sluice import settings
from sluice.adapters.aws import dynamo
from sluice.domain.accounts.account import parse_address
from sluice.domain.errors import StoreUnavailable
from sluice.wiring import peers, stores
from tests.events import event
from tests.integration.accounts.registration.world import Desk, stream_record
from tests.integration.mails.test_mailer import Carrier

ANN = "Ann@example.com"
NOTICES = {
    "bounce": json.loads(event("BouncesFunction")["Records"][0]["Sns"]["Message"]),
    "complaint": json.loads(Path(__file__).with_name("ses_complaint.json").read_text()),
}


def notice(name: str, address: str = ANN, **changes: Any) -> dict[str, Any]:
    """An SNS event, as Lambda gets it, with one of NOTICES in it."""
    message = of(name, address)
    message[name] |= changes
    return sns(json.dumps(message))


def of(name: str, address: str) -> dict[str, Any]:
    return dict(json.loads(json.dumps(NOTICES[name]).replace("recipient@example.com", address)))


def sns(message: str) -> dict[str, Any]:
    told = event("BouncesFunction")
    told["Records"][0]["Sns"]["Message"] = message
    return told


def reason() -> str | None:
    return stores.account_store().mail_suppression(parse_address(ANN).key)


@pytest.fixture
def carrier(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Carrier:
    carrier = Carrier()
    monkeypatch.setattr(peers, "mail_sender", lambda: carrier)
    return carrier


def queued(desk: Desk) -> str:
    desk.register(ANN)
    (mail,) = desk.mails()
    return str(mail["mail_id"])


@pytest.mark.parametrize("kind", ["bounce", "complaint"])
def test_a_suppressed_address_gets_no_mail(desk: Desk, carrier: Carrier, kind: str) -> None:
    mail_id = queued(desk)
    assert bounces.handler(notice(kind), None) == {"noted": 1, "ignored": 0}
    assert reason() == kind

    assert mailer.handler({"Records": [stream_record(mail_id)]}, None) == {"batchItemFailures": []}

    assert carrier.taken == []
    (mail,) = desk.mails()
    assert (mail["state"], mail["problem"]) == ("failed", "TakesNoMail")


def test_other_addresses_still_get_mail(desk: Desk, carrier: Carrier) -> None:
    mail_id = queued(desk)
    bounces.handler(notice("bounce", "bob@example.com"), None)
    mailer.handler({"Records": [stream_record(mail_id)]}, None)
    assert [message.to for message in carrier.taken] == [parse_address(ANN).given]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("bounce", {"bounceType": "Transient", "bounceSubType": "MailboxFull"}),
        ("bounce", {"bounceType": "Undetermined", "bounceSubType": "Undetermined"}),
        ("complaint", {"complaintFeedbackType": "not-spam"}),
    ],
)
def test_temporary_bounces_and_withdrawn_complaints_suppress_nothing(
    desk: Desk, name: str, changes: dict[str, str]
) -> None:
    queued(desk)
    assert bounces.handler(notice(name, **changes), None) == {"noted": 0, "ignored": 0}
    assert reason() is None


def test_a_repeated_notice_changes_nothing_and_the_first_reason_stays(desk: Desk) -> None:
    queued(desk)
    bounces.handler(notice("bounce"), None)
    before = dynamo.client().get_item(TableName=settings.common().table_prefix + "accounts", Key=_key())["Item"]
    bounces.handler(notice("bounce"), None)
    bounces.handler(notice("complaint"), None)
    assert dynamo.client().get_item(TableName=settings.common().table_prefix + "accounts", Key=_key())["Item"] == before


def _key() -> dict[str, Any]:
    return dynamo.item({"pk": "email#" + parse_address(ANN).key})


def test_a_notice_for_an_unknown_address_does_not_block_its_registration(desk: Desk, carrier: Carrier) -> None:
    assert bounces.handler(notice("bounce"), None) == {"noted": 0, "ignored": 1}
    mailer.handler({"Records": [stream_record(queued(desk))]}, None)
    assert len(carrier.taken) == 1


def test_the_older_format_with_display_names_is_parsed(desk: Desk) -> None:
    queued(desk)
    message = of("bounce", f"Ann <{ANN}>")
    message["notificationType"] = message.pop("eventType")
    assert bounces.handler(sns(json.dumps(message)), None) == {"noted": 1, "ignored": 0}


@pytest.mark.parametrize(
    "message",
    ["", "{", "[]", "null", "{}", '{"eventType": "Bounce"}',
     '{"eventType": "Bounce", "bounce": {"bounceType": "Permanent"}}',
     '{"eventType": "Bounce", "bounce": {"bounceType": "Permanent", "bouncedRecipients": [{"emailAddress": "x"}]}}',
     '{"eventType": "Delivery"}', "Successfully validated SNS topic for Amazon SES event publishing."],
)  # fmt: skip
def test_malformed_notices_are_skipped(desk: Desk, message: str) -> None:
    assert bounces.handler(sns(message), None) == {"noted": 0, "ignored": 0}
    assert bounces.handler({"Records": [{}]}, None) == {"noted": 0, "ignored": 0}


def test_while_the_store_is_unavailable_the_notice_is_delivered_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(desk)

    def away(*_: object) -> bool:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(type(stores.account_store()), "suppress_mail", away)
        with pytest.raises(StoreUnavailable):
            bounces.handler(notice("bounce"), None)
    assert bounces.handler(notice("bounce"), None) == {"noted": 1, "ignored": 0}


def test_while_the_store_is_unavailable_the_mailer_keeps_the_mail(
    desk: Desk, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail_id = queued(desk)

    def away(*_: object) -> None:
        raise StoreUnavailable()

    monkeypatch.setattr(type(stores.account_store()), "mail_suppression", away)
    mailer.handler({"Records": [stream_record(mail_id)]}, None)
    (mail,) = desk.mails()
    assert mail["state"] == "queued" and carrier.taken == []
