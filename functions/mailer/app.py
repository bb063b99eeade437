"""The mails table's stream: renders and sends each queued mail, once however often it is delivered."""

import logging
import time
from typing import Any

from sluice import settings, wiring
from sluice.adapters.keys import mailed_code_key
from sluice.domain.errors import StoreUnavailable
from sluice.domain.mails import Mail, Message
from sluice.http.logging import configure
from sluice.mails.render import render
from sluice.services.send_mail import send_mail

log = logging.getLogger("sluice.mailer")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A batch of a KEYS_ONLY DynamoDB stream → partial batch response: the records to be delivered again.

    A mail that cannot be sent now is no failed record: it waits in its table, and the sweeper shows it again. Its own
    state changes come by here too, and find nothing to do.
    """
    configure()
    failed: list[str] = []
    for record in event.get("Records", []):
        if record.get("eventName") == "REMOVE":
            continue
        change = record["dynamodb"]
        try:
            _send(change["Keys"]["mail_id"]["S"])
        except StoreUnavailable:
            failed.append(change["SequenceNumber"])
    return {"batchItemFailures": [{"itemIdentifier": sequence_number} for sequence_number in failed]}


def _send(mail_id: str) -> None:
    send_mail(
        mail_id,
        mails=wiring.mail_store(),
        sender=wiring.mail_sender(),
        render=_render,
        key=mailed_code_key,
        clock_ms=lambda: time.time_ns() // 1_000_000,
    )


def _render(mail: Mail, code: str) -> Message:
    return render(mail, code, base_url=settings.common().base_url, sender=settings.mailer().mail_from)
