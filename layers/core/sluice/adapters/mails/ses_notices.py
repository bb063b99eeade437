"""Bounces and complaints that SES publishes through SNS.

Source: SES Developer Guide, "Examples of event data that Amazon SES publishes to Amazon SNS" (`eventType`) and "Amazon
SNS notification contents" (`notificationType`, if they come from an identity, not from a configuration set).
"""

import json
import logging
from collections.abc import Iterator
from email.utils import parseaddr
from typing import Any

from sluice.domain.mails.mail import Suppression

log = logging.getLogger("sluice.bounces")


def undeliverable(event: dict[str, Any]) -> Iterator[tuple[str, Suppression]]:
    """The addresses to suppress, and why, from a batch of SNS records.

    A transient bounce (mailbox full, server down) is ignored, because the next mail may arrive. A malformed notice is
    logged and skipped, because a retry would not help.
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
    """The bare address; SES may add a display name."""
    address = parseaddr(recipient["emailAddress"])[1]
    if "@" not in address:
        raise ValueError("no address")
    return address
