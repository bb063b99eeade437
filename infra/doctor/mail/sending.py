"""Sends a test mail, and explains in words what the mail server objects to."""

import re
import time
from smtplib import SMTPRecipientsRefused, SMTPResponseException

from infra.doctor.finding import Findings, ok, problem
from infra.doctor.mail.server import reason, said
from sluice import settings
from sluice.adapters.mails.render import render
from sluice.domain.errors import ValidationFailed
from sluice.domain.mails.mail import Kind, MailRefused, MailUndelivered, new_mail
from sluice.wiring.peers import mail_sender

LOOK = (
    "Look there, also in the spam folder. Open the mail's source (Gmail: “Show original”): it should say PASS for SPF, "
    "DKIM and DMARC, each with the domain of SLUICE_MAIL_FROM. What fails there, is explained in docs/mail.md."
)
# What is in a refusal → what it means. The first that fits counts.
MEANINGS = (
    (r"5\.7\.26|unauthenticated|DMARC", "The receiver wants SPF or DKIM of the domain in From. See above."),
    (r"5\.7\.25|PTR|reverse DNS|rDNS", "The receiver wants a name (PTR) for the address that you send from."),
    (r"spamhaus|zen\.|PBL|blocklist|blacklist|block ?list", "The address that you send from is on a blocklist."),
    (r"sandbox|not verified|unverified|sender signature|testing emails", "The mail service sends only from addresses "
     "and domains that you have verified with it, and in a trial only to some. Verify the domain; leave the trial."),
    (r"5\.7\.29|must issue a STARTTLS|TLS required", "The server wants TLS. Use the port 587 or 465."),
    (r"relay|authenticat|auth(?:orization)? required|5\.7\.0", "The mail server sends for nobody who is not logged in. "
     "Write user and password into SLUICE_MAIL."),
    (r"4\.7\.\d+|greylist|gray ?list|rate limit|too many", "The receiver asks to try again later, as Sluice does."),
    (r"5\.1\.1|no such user|user unknown|unknown user", "This mailbox does not exist."),
    (r"spam|5\.7\.1|policy", "The receiver takes the mail for spam, often because of the findings above."),
)  # fmt: skip


def send(to: str, local: bool) -> Findings:
    """`local`: mails stay on this machine."""
    now_ms = time.time_ns() // 1_000_000
    mail = new_mail(Kind.TEST, account_id="", to=to, now_ms=now_ms)
    try:
        written = render(mail, "", base_url=settings.common().base_url, sender=settings.mailer().mail_from)
        mail_sender().send(written, now_ms)
    except ValidationFailed:
        yield problem(f"{to} is no address that a mail can be sent to.")
    except (MailRefused, MailUndelivered) as exc:
        words = _words(exc.__cause__ or exc)
        yield problem(f"The test mail was not taken: {words}", meaning(words))
    else:
        where = (
            "lies in the outbox (/_local/outbox) and went nowhere" if local else f"to {to} was taken by the mail server"
        )
        yield ok(f"The test mail {where}", "" if local else LOOK)


def _words(cause: BaseException) -> str:
    if isinstance(cause, SMTPResponseException):
        return f"{cause.smtp_code} {said(cause.smtp_error)}"
    if isinstance(cause, SMTPRecipientsRefused):
        code, answer = next(iter(cause.recipients.values()))
        return f"{code} {said(answer)}"
    return reason(cause)


def meaning(words: str) -> str:
    return next((means for pattern, means in MEANINGS if re.search(pattern, words, re.IGNORECASE)), "")
