"""Mails to send, and what sends them."""

from typing import Protocol

from sluice.domain.mails.mail import Mail, Message


class MailStore(Protocol):
    """The mails to send. Every method may raise StoreUnavailable."""

    def get(self, mail_id: str) -> Mail | None:
        """A consistent read."""

    def queue(self, mail: Mail) -> bool:
        """Whether it is new: a mail of this id, sent or not, stays as it is."""

    def claim(self, mail: Mail, *, now_ms: int, until_ms: int) -> Mail:
        """Take it for sending. Errors: Conflict when it is not to be sent now, or someone else sends it."""

    def sent(self, mail: Mail, now_ms: int) -> None:
        """Errors: Conflict when the claim was lost, as for the two below."""

    def failed(self, mail: Mail, problem: str, now_ms: int) -> None: ...

    def put_back(self, mail: Mail, problem: str, due_ms: int) -> None: ...

    def overdue(self, before_ms: int, limit: int) -> list[str]: ...

    def touch(self, mail_id: str, now_ms: int) -> bool:
        """Show an overdue mail to the mailer again; False when it needs that no more."""

    def of_account(self, account_id: str) -> list[Mail]:
        """In no order; one of the last second may be missing, as for the next."""

    def erase_account(self, account_id: str) -> None: ...


class MailSender(Protocol):
    def send(self, message: Message, now_ms: int) -> None:
        """Errors: MailUndelivered (try again later), MailRefused (never)."""
