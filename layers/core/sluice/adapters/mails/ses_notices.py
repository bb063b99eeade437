"""What SES tells through SNS of mails that came back, and of people who called one spam.

Source: SES Developer Guide, "Examples of event data that Amazon SES publishes to Amazon SNS" (`eventType`) and "Amazon
SNS notification contents" (`notificationType`, where an identity and not a configuration set tells).
"""

import json
import logging
from collections.abc import Iterator
from email.utils import parseaddr
from typing import Any

from sluice.domain.mails.mail import Suppression

log = logging.getLogger("sluice.bounces")


def undeliverable(event: dict[str, Any]) -> Iterator[tuple[str, Suppression]]:
    """The addresses that are to get no more mail, and why, of a batch as SNS hands it to a function.

    A bounce that may pass (a full mailbox, a server away) says nothing about the next mail. What makes no sense is
    logged and left out: the same notice comes to nothing every time.
    """
    for record in event.get("Records", []):
        try:
            notice = json.loads(record["Sns"]["Message"])
            kind = str(notice.get("eventType") or notice.get("notificationType"))
            found = list(_addresses(kind, notice))
        except (LookupError, TypeError, ValueError, AttributeError):
            log.error("malformed notice skipped")
            continue
        yield from found


def _addresses(kind: str, notice: dict[str, Any]) -> Iterator[tuple[str, Suppression]]:
    if kind == "Bounce" and notice["bounce"]["bounceType"] == "Permanent":
        for recipient in notice["bounce"]["bouncedRecipients"]:
            yield _address(recipient), "bounce"
    elif kind == "Complaint" and notice["complaint"].get("complaintFeedbackType") != "not-spam":
        for recipient in notice["complaint"]["complainedRecipients"]:
            yield _address(recipient), "complaint"


def _address(recipient: dict[str, Any]) -> str:
    """It may come with a display name."""
    address = parseaddr(recipient["emailAddress"])[1]
    if "@" not in address:
        raise ValueError("no address")
    return address
