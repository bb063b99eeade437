"""Queued mails, and how they are sent."""

from __future__ import annotations  # a port is imported without the domain that it speaks of (ADR 85)

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sluice.domain.mails.mail import Mail, Message


class MailStore(Protocol):
    """The queued mails. Every method may raise StoreUnavailable."""

    def get(self, mail_id: str) -> Mail | None:
        """A consistent read."""

    def queue(self, mail: Mail) -> bool:
        """Returns False if a mail with this id exists, sent or not; that mail stays unchanged."""

    def claim(self, mail: Mail, *, now_ms: int, until_ms: int) -> Mail:
        """Reserve the mail for sending. Errors: Conflict when it is not due, or another process is sending it."""

    def sent(self, mail: Mail, now_ms: int) -> None:
        """Errors: Conflict when the claim was lost, as for `failed` and `put_back`."""

    def failed(self, mail: Mail, problem: str, now_ms: int) -> None: ...

    def put_back(self, mail: Mail, problem: str, due_ms: int) -> None: ...

    def overdue(self, before_ms: int, limit: int) -> list[str]: ...

    def touch(self, mail_id: str, now_ms: int) -> bool:
        """Send an overdue mail through the mailer again; False if that is no longer needed."""

    def of_account(self, account_id: str) -> Iterator[Mail]:
        """Unordered, read in pages. A mail of the last second may be missing here, and may survive `erase_account`."""

    def erase_account(self, account_id: str) -> None: ...


class MailSender(Protocol):
    def send(self, message: Message, now_ms: int) -> None:
        """Errors: MailUndelivered (temporary), MailRefused (permanent)."""
