"""Send queued mails: claim one, render it, hand it to the mail server, mark it as sent. And requeue stuck mails."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sluice.domain.errors import Conflict
from sluice.domain.mails import mailed_codes
from sluice.domain.mails.mail import CODE_LIFE_MS, Mail, MailRefused, Message, TakesNoMail, retry_after_ms
from sluice.ports.mails import MailSender, MailStore
from sluice.services.mails.suppress import Suppressions

log = logging.getLogger("sluice.mailer")

SENDING_MS = 120_000  # longer than any mail server takes; after it, the sending process counts as dead
GRACE_MS = 5_000  # the stream delivers a mail that became due within this time
AT_ONCE = 200  # mails for each shard, the oldest first; the next sweep takes the rest

Render = Callable[[Mail, str], Message]  # the mail and its code, empty where it has none


@dataclass(frozen=True)
class Mailer:
    """`key` reads the secret that codes are derived from, for a mail that has a code. The clock (Unix ms) is read twice
    for each mail, because sending may take seconds."""

    mails: MailStore
    sender: MailSender
    render: Render
    suppressions: Suppressions
    key: Callable[[], bytes]
    clock_ms: Callable[[], int]

    def send(self, mail_id: str) -> None:
        """Send one mail, on each event of the mails table. Does nothing if the mail was sent, is being sent, or is not
        due yet.

        A mail that cannot be sent now goes back into the queue without an error. Errors: StoreUnavailable.
        """
        mail = self.mails.get(mail_id)
        if mail is None:
            return
        now_ms = self.clock_ms()
        try:
            claimed = self.mails.claim(mail, now_ms=now_ms, until_ms=now_ms + SENDING_MS)
        except Conflict:
            return
        try:
            self._attempt(claimed)
        except Conflict:
            log.warning("mail taken over while it was being sent", extra={"mail_id": mail_id})

    def _attempt(self, mail: Mail) -> None:
        if mail.expires_ms <= self.clock_ms():
            self.mails.failed(mail, "expired", self.clock_ms())
            return
        try:
            if not self.suppressions.takes_mail(mail.to):
                raise TakesNoMail()
            self.sender.send(self.render(mail, self._code(mail)), self.clock_ms())
        except MailRefused as exc:
            log.warning("mail refused", extra={"mail_id": mail.mail_id, "problem": _name(exc)})
            self.mails.failed(mail, _name(exc), self.clock_ms())
        except Exception as exc:  # no failure of one mail may hold up the mails after it
            log.warning("mail not sent, will be tried again", extra={"mail_id": mail.mail_id, "problem": _name(exc)})
            self.mails.put_back(mail, _name(exc), self.clock_ms() + retry_after_ms(mail.attempts))
        else:
            self.mails.sent(mail, self.clock_ms())

    def _code(self, mail: Mail) -> str:
        if mail.kind not in CODE_LIFE_MS:
            return ""
        return mailed_codes.make(self.key(), mail.kind, mail.repeats or mail.mail_id, mail.account_id)


@dataclass(frozen=True)
class StuckMails:
    """Mails left in the queue, because the mail server did not answer or the mailer died."""

    mails: MailStore

    def requeue(self, now_ms: int) -> int:
        """Send every overdue mail to the mailer again, through the table's stream. → how many.

        No mail is sent twice, because the mailer must claim it first. Errors: StoreUnavailable.
        """
        return sum(self.mails.touch(mail_id, now_ms) for mail_id in self.mails.overdue(now_ms - GRACE_MS, AT_ONCE))


def _name(exc: Exception) -> str:
    """The class of the cause, without its text, because a mail server's answer may quote the address or the mail."""
    return type(exc.__cause__ or exc).__name__
