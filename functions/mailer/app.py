"""The mails table's stream: renders and sends each queued mail once, even if its record is delivered twice."""

import logging
from typing import Any

from sluice.domain.errors import StoreUnavailable
from sluice.http.logging import configure
from sluice.wiring.mails import mailer
from sluice.wiring.stores import models_client  # noqa: F401  # built during INIT

log = logging.getLogger("sluice.mailer")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A batch of a KEYS_ONLY DynamoDB stream → partial batch response: the records to deliver again.

    A record fails only if the store does not answer. A mail that cannot be sent now waits in its table, and the sweeper
    requeues it. A malformed record or mail is skipped, because it would fail again and hold up the ones after it. The
    mailer's own updates of a mail are in the stream too, and need nothing.
    """
    configure()
    failed: list[str] = []
    for record in event.get("Records", []):
        try:
            mail_id, sequence_number = _named(record)
        except (LookupError, TypeError):
            log.error("malformed stream record skipped")
            continue
        if record.get("eventName") != "REMOVE" and not _is_seen_to(mail_id):
            failed.append(sequence_number)
    return {"batchItemFailures": [{"itemIdentifier": sequence_number} for sequence_number in failed]}


def _named(record: dict[str, Any]) -> tuple[str, str]:
    """The mail's id and the record's sequence number. Errors: LookupError, TypeError (a malformed record)."""
    change = record["dynamodb"]
    mail_id, sequence_number = change["Keys"]["mail_id"]["S"], change["SequenceNumber"]
    if not isinstance(mail_id, str) or not isinstance(sequence_number, str):
        raise TypeError
    return mail_id, sequence_number


def _is_seen_to(mail_id: str) -> bool:
    try:
        mailer().send(mail_id)
    except StoreUnavailable:
        return False
    except Exception:
        log.exception("mail skipped: it cannot be handled", extra={"mail_id": mail_id})
    return True
