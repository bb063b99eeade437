"""A rendered mail as an email message (RFC 5322), for SMTP and SES."""

import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from sluice.domain.accounts.account import parse_address
from sluice.domain.mails.mail import Message


def mime(message: Message, now_ms: int) -> EmailMessage:
    """A message with text and HTML parts. Auto-Submitted keeps auto-responders from answering (RFC 3834)."""
    built = EmailMessage()
    built["From"] = sender_of(message.sender)
    built["To"] = deliverable(message.to)
    built["Subject"] = message.subject
    built["Date"] = format_datetime(datetime.fromtimestamp(now_ms / 1000, UTC))
    built["Message-ID"] = message.message_id
    built["Auto-Submitted"] = "auto-generated"
    built["X-Sluice-Kind"] = message.kind.value
    built.set_content(message.text, cte=_encoding(message.text))
    built.add_alternative(message.html, subtype="html", cte=_encoding(message.html))
    return built


def _encoding(text: str) -> str:
    """7bit where possible, because quoted-printable would break a long link for people who read the raw mail."""
    return "7bit" if re.fullmatch(r"(?:[\t -~]{0,990}\n)*[\t -~]{0,990}", text) else "quoted-printable"


def sender_of(text: str) -> Address:
    """`Name <address>` or `address`, with any text as the name. Errors: ValueError (a line break), ValidationFailed."""
    named = re.fullmatch(r"(?s)(.*)<([^<>]*)>\s*", text)
    name, address = (named[1].strip(), named[2]) if named else ("", text.strip())
    local_part, _, domain = (address if address.isascii() else deliverable(address)).rpartition("@")
    return Address(name.removeprefix('"').removesuffix('"'), local_part, domain)


def deliverable(address: str) -> str:
    """The address with its domain in ASCII (IDNA), which every mail server understands."""
    local = parse_address(address)
    return f"{local.local_part}@{local.key.rpartition('@')[2]}"
