"""The mailer, called by the stream and the sweeper, sends each mail once despite repeats, failures and bad records."""

import logging
from threading import Barrier
from typing import Any

import pytest

from functions.mailer import app as mailer
from functions.sweeper import app as sweeper
from sluice import settings
from sluice.adapters.aws import dynamo
from sluice.adapters.mails.store import due_key
from sluice.domain.errors import StoreUnavailable
from sluice.domain.mails.mail import Kind, MailRefused, MailUndelivered, Message, new_mail
from tests.integration.accounts.registration.world import AT_ONCE, Desk, now_ms, stream_record

ANN = "ann@example.com"


class Carrier:
    """A mail server that raises one of `errors` at each call, then accepts the mail."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.taken = list(errors), list[Message]()

    def send(self, message: Message, now_ms: int) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(message)


@pytest.fixture
def carrier(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Carrier:
    from sluice.wiring import peers

    carrier = Carrier()
    monkeypatch.setattr(peers, "mail_sender", lambda: carrier)
    return carrier


@pytest.fixture
def mail_id(desk: Desk) -> str:
    """The id of a registration's queued mail."""
    desk.register(ANN)
    (mail,) = desk.mails()
    return str(mail["mail_id"])


def set_mail(mail_id: str, **values: Any) -> None:
    """Overwrite attributes of a stored mail; None removes one."""
    client, table = dynamo.client(), settings.common().table_prefix + "mails"
    item = client.get_item(TableName=table, Key=dynamo.item({"mail_id": mail_id}))["Item"]
    item |= dynamo.item({name: value for name, value in values.items() if value is not None})
    client.put_item(TableName=table, Item={name: kept for name, kept in item.items() if name not in values
                                           or values[name] is not None})  # fmt: skip


def make_overdue(mail_id: str) -> None:
    set_mail(mail_id, due=due_key(now_ms() - 60_000))


def sweep() -> int:
    return int(sweeper.handler({}, None)["requeued"])


# --- once


def test_concurrent_deliveries_of_one_record_send_one_mail(desk: Desk, carrier: Carrier, mail_id: str) -> None:
    start = Barrier(AT_ONCE)

    def deliver(_: int) -> list[str]:
        start.wait()
        return desk.deliver(mail_id)

    assert desk.at_once(deliver, range(AT_ONCE)) == [[]] * AT_ONCE
    assert [message.mail_id for message in carrier.taken] == [mail_id]
    assert (desk.mail(mail_id).state, desk.mail(mail_id).attempts) == ("sent", 1)


def test_a_record_delivered_again_sends_no_second_mail(desk: Desk, carrier: Carrier, mail_id: str) -> None:
    for _ in range(3):
        assert desk.deliver(mail_id, mail_id) == []
    assert len(carrier.taken) == 1
    assert sweep() == 0


def test_a_decoy_mail_is_never_sent(desk: Desk, carrier: Carrier) -> None:
    desk.resend("nobody@example.com")
    (nothing,) = desk.items("mails")
    assert desk.deliver(nothing["mail_id"]) == [] and not carrier.taken


def test_a_deleted_mail_and_a_removal_record_are_ignored(desk: Desk, carrier: Carrier, mail_id: str) -> None:
    assert desk.deliver("mail_gone") == []
    assert mailer.handler({"Records": [stream_record(mail_id, "REMOVE")]}, None) == {"batchItemFailures": []}
    assert mailer.handler({}, None) == {"batchItemFailures": []}
    assert not carrier.taken


# --- the mail server is unavailable


def test_after_an_outage_of_the_mail_server_the_mail_is_sent_once(
    desk: Desk, carrier: Carrier, mail_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice.domain.mails.mail.RETRY_MS", (60_000,))  # longer than this test
    carrier.errors = [MailUndelivered(), ConnectionRefusedError("nobody there")]
    assert desk.deliver(mail_id) == []  # no failed record, because a mail server's outage must not block the stream
    waiting = desk.mail(mail_id)
    assert (waiting.state, waiting.attempts) == ("queued", 1) and waiting.due_ms > now_ms()
    assert desk.deliver(mail_id) == [] and desk.mail(mail_id).attempts == 1  # not due yet
    assert sweep() == 0

    make_overdue(mail_id)
    assert sweep() == 1
    assert desk.deliver(mail_id) == []
    again = desk.mail(mail_id)
    assert (again.state, again.attempts, again.problem) == ("queued", 2, "ConnectionRefusedError")
    assert not carrier.taken

    make_overdue(mail_id)
    assert sweep() == 1
    assert desk.deliver(mail_id, mail_id) == []  # the record of the requeueing, and a late one
    assert [message.mail_id for message in carrier.taken] == [mail_id]
    assert desk.mail(mail_id).state == "sent"
    assert sweep() == 0
    assert desk.verify(desk.code_of(carrier.taken[0].text)).status_code == 200


def test_waits_between_attempts_grow_and_the_mails_link_stays_the_same(
    desk: Desk, carrier: Carrier, mail_id: str
) -> None:
    waits = []
    for _ in range(4):
        carrier.errors = [MailUndelivered()]
        before_ms = now_ms()
        desk.deliver(mail_id)
        waits.append(desk.mail(mail_id).due_ms - before_ms)
        make_overdue(mail_id)
    assert waits == sorted(waits) and waits[-1] >= 60_000
    desk.deliver(mail_id)
    assert mail_id in carrier.taken[0].text


def test_a_mail_of_a_dead_mailer_is_sent_by_another(desk: Desk, carrier: Carrier, mail_id: str) -> None:
    from sluice.wiring import stores

    claimed_ms = now_ms() - 200_000
    set_mail(mail_id, due=due_key(claimed_ms))
    stores.mail_store().claim(desk.mail(mail_id), now_ms=claimed_ms, until_ms=claimed_ms + 120_000)
    assert desk.mail(mail_id).state == "sending"
    assert sweep() == 1
    desk.deliver(mail_id)
    assert len(carrier.taken) == 1 and desk.mail(mail_id).state == "sent"


def test_a_late_mailer_cannot_overwrite_the_state_of_a_sent_mail(desk: Desk, mail_id: str) -> None:
    from sluice.domain.errors import Conflict
    from sluice.wiring import stores

    slow = stores.mail_store().claim(desk.mail(mail_id), now_ms=now_ms(), until_ms=now_ms() - 1)
    desk.deliver(mail_id)
    assert desk.mail(mail_id).state == "sent"
    with pytest.raises(Conflict):
        stores.mail_store().put_back(slow, "slow", now_ms())
    assert desk.mail(mail_id).state == "sent"


# --- permanent failures


def test_a_mail_to_a_refused_recipient_is_not_retried(desk: Desk, carrier: Carrier, mail_id: str) -> None:
    carrier.errors = [MailRefused()]
    assert desk.deliver(mail_id) == []
    failed = desk.mail(mail_id)
    assert (failed.state, failed.problem) == ("failed", "MailRefused")
    assert sweep() == 0 and desk.deliver(mail_id) == [] and not carrier.taken


def test_an_expired_mail_fails_and_is_not_sent(desk: Desk, carrier: Carrier, mail_id: str) -> None:
    set_mail(mail_id, expires_ms=now_ms() - 1)
    assert desk.deliver(mail_id) == []
    assert (desk.mail(mail_id).state, desk.mail(mail_id).problem) == ("failed", "expired")
    assert not carrier.taken


# --- malformed records

MALFORMED: dict[str, Any] = {
    "no change": {"eventName": "INSERT"},
    "no keys": {"eventName": "INSERT", "dynamodb": {"SequenceNumber": "1"}},
    "another table's key": {"eventName": "INSERT", "dynamodb": {"Keys": {"pk": {"S": "x"}}, "SequenceNumber": "1"}},
    "a number for a key": {"eventName": "INSERT", "dynamodb": {"Keys": {"mail_id": {"N": "1"}}}},
    "no sequence number": {"eventName": "INSERT", "dynamodb": {"Keys": {"mail_id": {"S": 1}}}},
    "null": None,
    "text": "INSERT",
}


def test_malformed_records_are_skipped_and_their_neighbours_are_sent(
    desk: Desk, carrier: Carrier, mail_id: str
) -> None:
    """A retry could not help and would delay the mails behind it. No mail is lost, because the sweeper finds it."""
    for name, record in MALFORMED.items():
        answer = mailer.handler({"Records": [record, stream_record("mail_gone"), record]}, None)
        assert answer == {"batchItemFailures": []}, name
    records = [*MALFORMED.values(), stream_record(mail_id), *MALFORMED.values()]
    assert mailer.handler({"Records": records}, None) == {"batchItemFailures": []}
    assert len(carrier.taken) == 1


def test_a_malformed_record_is_logged(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "sluice.mailer"):
        mailer.handler({"Records": list(MALFORMED.values())}, None)
    assert caplog.text.count("malformed") == len(MALFORMED)


@pytest.mark.parametrize("broken", [{"kind": "of_no_kind"}, {"kind": None}, {"data": "no map"}, {"schema": None}])
def test_a_stored_mail_that_cannot_be_read_or_rendered_delays_no_other(
    desk: Desk, carrier: Carrier, mail_id: str, broken: dict[str, Any]
) -> None:
    desk.register("eve@example.com")
    set_mail(mail_id, **broken)
    (other,) = (mail["mail_id"] for mail in desk.mails() if mail["mail_id"] != mail_id)
    assert desk.deliver(mail_id, other) == []
    assert [message.mail_id for message in carrier.taken] == [other]


def test_while_the_store_is_unavailable_records_are_delivered_again(
    desk: Desk, carrier: Carrier, mail_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.wiring import stores

    def away(self: object, mail_id: str) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as patched:
        patched.setattr(type(stores.mail_store()), "get", away)
        assert desk.deliver(mail_id, "mail_x") == [mail_id, "mail_x"]
    assert desk.deliver(mail_id) == [] and len(carrier.taken) == 1


def test_a_mail_that_names_its_occasion_is_queued_once(desk: Desk, carrier: Carrier) -> None:
    from sluice.services.mails.queue import queue_mail
    from sluice.wiring import stores

    account = desk.account()

    def queue(_: int) -> bool:
        data = {"period": "2026-11"}
        return queue_mail(Kind.QUOTA_80, account, mails=stores.mail_store(), now_ms=now_ms(), once=(202611,), data=data)

    assert sum(desk.at_once(queue, range(AT_ONCE))) == 1
    desk.deliver()
    assert [message.kind for message in carrier.taken].count(Kind.QUOTA_80) == 1


def test_a_queued_mail_is_due_immediately() -> None:
    mail = new_mail(Kind.QUOTA_80, account_id="usr_a", to=ANN, now_ms=5)
    assert (mail.state, mail.due_ms) == ("queued", 5)
