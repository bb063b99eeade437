"""Send one queued mail: claim it, render it, hand it over, say so. Called once for every event of the mails table."""

import logging
from collections.abc import Callable

from sluice.domain.errors import Conflict
from sluice.domain.mails import mailed_codes
from sluice.domain.mails.mail import CODE_LIFE_MS, Mail, MailRefused, Message, TakesNoMail, retry_after_ms
from sluice.ports.mails import MailSender, MailStore

log = logging.getLogger("sluice.mailer")

SENDING_MS = 120_000  # longer than any sender takes; after it, whoever was sending is taken for dead

Render = Callable[[Mail, str], Message]  # the mail and its code, empty where it has none


def send_mail(
    mail_id: str,
    *,
    mails: MailStore,
    sender: MailSender,
    render: Render,
    takes_mail: Callable[[str], bool],
    key: Callable[[], bytes],
    clock_ms: Callable[[], int],
) -> None:
    """Do nothing when there is nothing to do: it was sent, it is being sent, or it is not due yet.

    A mail that cannot be sent now goes back into the queue and is no error of this call. The clock is read twice,
    because sending takes its time. Errors: StoreUnavailable.
    """
    mail = mails.get(mail_id)
    if mail is None:
        return
    now_ms = clock_ms()
    try:
        claimed = mails.claim(mail, now_ms=now_ms, until_ms=now_ms + SENDING_MS)
    except Conflict:
        return
    try:
        _attempt(claimed, mails, sender, render, takes_mail, key, clock_ms)
    except Conflict:
        log.warning("mail taken over while it was being sent", extra={"mail_id": mail_id})


def _attempt(
    mail: Mail,
    mails: MailStore,
    sender: MailSender,
    render: Render,
    takes_mail: Callable[[str], bool],
    key: Callable[[], bytes],
    clock_ms: Callable[[], int],
) -> None:
    if mail.expires_ms <= clock_ms():
        mails.failed(mail, "expired", clock_ms())
        return
    try:
        if not takes_mail(mail.to):
            raise TakesNoMail()
        sender.send(render(mail, _code(mail, key)), clock_ms())
    except MailRefused as exc:
        log.warning("mail refused", extra={"mail_id": mail.mail_id, "problem": _name(exc)})
        mails.failed(mail, _name(exc), clock_ms())
    except Exception as exc:  # whatever it is, it must not hold up the mails behind it
        log.warning("mail not sent, will be tried again", extra={"mail_id": mail.mail_id, "problem": _name(exc)})
        mails.put_back(mail, _name(exc), clock_ms() + retry_after_ms(mail.attempts))
    else:
        mails.sent(mail, clock_ms())


def _code(mail: Mail, key: Callable[[], bytes]) -> str:
    if mail.kind not in CODE_LIFE_MS:
        return ""
    return mailed_codes.make(key(), mail.kind, mail.mail_id, mail.account_id)


def _name(exc: Exception) -> str:
    """The cause's class, never its text: a mail server's answer may quote the address or the mail."""
    return type(exc.__cause__ or exc).__name__
