"""A mail to send, as it is queued: it never holds a code, only what the code is derived from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Literal

from sluice.domain.errors import SluiceError, Unavailable
from sluice.domain.ids import random_id

SCHEMA = 2  # 1 named an empty account where it was for nobody
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
KEPT_S = 7 * 24 * 3600  # longer than any code lives, since redeeming a code reads its mail


class Kind(StrEnum):
    """What a mail is about. The kinds with a mailed code are named as that code's purpose."""

    VERIFY_EMAIL = "verify_email"
    ALREADY_REGISTERED = "already_registered"
    RESET_PASSWORD = "reset_password"
    CHANGE_EMAIL = "change_email"
    EMAIL_CHANGED = "email_changed"
    QUOTA_80 = "quota_80"
    QUOTA_100 = "quota_100"
    NEW_SIGN_IN = "new_sign_in"
    PASSWORD_CHANGED = "password_changed"


CODE_LIFE_MS: Mapping[str, int] = {
    Kind.VERIFY_EMAIL: 24 * HOUR_MS,
    Kind.RESET_PASSWORD: 30 * MINUTE_MS,
    Kind.CHANGE_EMAIL: 24 * HOUR_MS,
}
NOTICE_LIFE_MS = 3 * 24 * HOUR_MS  # a notice that could not be sent for so long says nothing new any more


@dataclass(frozen=True)
class Mail:
    """`due_ms`: when the next attempt may start; while one runs, when it is taken for dead.

    After `expires_ms` it is not sent any more. `data` is what its template shows: text and whole numbers.
    """

    mail_id: str
    kind: Kind
    account_id: str
    to: str
    created_ms: int
    expires_ms: int
    due_ms: int
    data: Mapping[str, str | int] = field(default_factory=dict)
    state: str = "queued"  # → "sending" → "sent" or "failed"
    attempts: int = 0
    sent_ms: int | None = None
    problem: str = ""
    schema: int = SCHEMA


def new_mail(
    kind: Kind,
    *,
    account_id: str,
    to: str,
    now_ms: int,
    data: Mapping[str, str | int] | None = None,
    mail_id: str = "",
) -> Mail:
    """A mail ready to be queued. A `mail_id` of one's own makes it go out once however often it is queued."""
    expires_ms = now_ms + CODE_LIFE_MS.get(kind, NOTICE_LIFE_MS)
    return Mail(mail_id or random_id("mail_"), kind, account_id, to, now_ms, expires_ms, now_ms, data or {})


def once_id(*parts: str | int) -> str:
    """A mail id that is the same for the same occasion: `once_id("quota_80", account_id, 202611)` goes out once."""
    return "mail_" + sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


@dataclass(frozen=True, repr=False)
class Message:
    """A rendered mail. It may hold a mailed code, so it has no repr: it goes to the Mail port and nowhere else."""

    message_id: str  # stable: the same however often the mail is sent, so that a mailbox can fold doubles
    sender: str
    to: str
    subject: str
    text: str
    html: str
    kind: Kind
    mail_id: str


class MailUndelivered(Unavailable):
    """Not now: the mail server is away, busy, or does not let us in. Trying again later is right."""

    default_message = "The mail could not be handed over."


class MailRefused(SluiceError):
    """Never: the mail server will not take this mail, to this address."""

    default_message = "The mail was refused."


class TakesNoMail(MailRefused):
    """Mails to this address came back, or its owner called one spam: none is handed over any more."""

    default_message = "This address takes no mail."


Suppression = Literal["bounce", "complaint"]  # why an address gets no more mail


RETRY_MS = (5_000, 15_000, 30_000, MINUTE_MS, 2 * MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS)


def retry_after_ms(attempts: int) -> int:
    """How long to wait after so many attempts; the last wait repeats until the mail expires."""
    return RETRY_MS[min(attempts, len(RETRY_MS)) - 1]
