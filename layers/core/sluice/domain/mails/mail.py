"""A queued mail. It never holds a mailed code, only the values from which the code is derived."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Literal

from sluice.domain.errors import SluiceError, Unavailable
from sluice.domain.ids import random_id

SCHEMA = 2  # schema 1 had an empty account id in mails without an account
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
SILENT = "none"  # the state of a mail that is written and not sent
KEPT_S = 7 * 24 * 3600  # no shorter than any code's lifetime, because redeeming a code reads its mail


class Kind(StrEnum):
    """What a mail is about. A kind with a mailed code has the name of that code's purpose."""

    VERIFY_EMAIL = "verify_email"
    ALREADY_REGISTERED = "already_registered"
    RESET_PASSWORD = "reset_password"
    CHANGE_EMAIL = "change_email"
    EMAIL_CHANGED = "email_changed"
    QUOTA_80 = "quota_80"
    QUOTA_100 = "quota_100"
    NEW_SIGN_IN = "new_sign_in"
    PASSWORD_CHANGED = "password_changed"
    INVITATION = "invitation"
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    FACTORS_THROTTLED = "factors_throttled"
    RECOVERY_CODE_USED = "recovery_code_used"
    RECOVERY_CODES_RENEWED = "recovery_codes_renewed"
    IDENTITY_LINKED = "identity_linked"
    IDENTITY_REMOVED = "identity_removed"
    TEST = "test"
    TOKEN_EXPIRING = "token_expiring"
    WEBHOOK_DISABLED = "webhook_disabled"
    RESPONSE_ENDED = "response_ended"
    BATCH_ENDED = "batch_ended"


CODE_LIFE_MS: Mapping[str, int] = {
    Kind.VERIFY_EMAIL: 24 * HOUR_MS,
    Kind.RESET_PASSWORD: 30 * MINUTE_MS,
    Kind.CHANGE_EMAIL: 24 * HOUR_MS,
    Kind.INVITATION: 7 * 24 * HOUR_MS,
}
NOTICE_LIFE_MS = 3 * 24 * HOUR_MS  # a notice older than this is no longer news


@dataclass(frozen=True)
class Mail:
    """`due_ms`: when the next attempt may start; while an attempt runs, when it counts as dead.

    After `expires_ms` the mail is not sent. `data` holds the values its template shows: text and whole numbers.
    `repeats`: the earlier mail whose code this one carries again, if any. `language`: of its text;
    empty: the site's first.
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
    repeats: str = ""
    language: str = ""
    schema: int = SCHEMA


def new_mail(
    kind: Kind,
    *,
    account_id: str,
    to: str,
    now_ms: int,
    data: Mapping[str, str | int] | None = None,
    mail_id: str = "",
    language: str = "",
) -> Mail:
    """A mail ready to be queued. Pass `mail_id` to send a mail only once even if it is queued several times."""
    expires_ms = now_ms + CODE_LIFE_MS.get(kind, NOTICE_LIFE_MS)
    mail_id = mail_id or random_id("mail_")
    return Mail(mail_id, kind, account_id, to, now_ms, expires_ms, now_ms, data or {}, language=language)


def once_id(*parts: str | int) -> str:
    """A mail id derived from its occasion: `once_id("quota_80", account_id, 202611)`, so that one mail is sent."""
    return "mail_" + sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


@dataclass(frozen=True, repr=False)
class Message:
    """A rendered mail. It may hold a mailed code, so it has no repr, and only the Mail port receives it."""

    message_id: str  # the same at each attempt, so that a mailbox can drop duplicates
    sender: str
    to: str
    subject: str
    text: str
    html: str
    kind: Kind
    mail_id: str


class MailUndelivered(Unavailable):
    """A temporary failure: the mail server is down, busy, or refuses our login. Sending should be tried again."""

    default_message = "The mail could not be handed over."


class MailRefused(SluiceError):
    """A permanent failure: the mail server rejects this mail or this address."""

    default_message = "The mail was refused."


class TakesNoMail(MailRefused):
    """Earlier mails to this address bounced or were reported as spam, so no more are sent to it."""

    default_message = "This address takes no mail."


Suppression = Literal["bounce", "complaint"]  # why no more mail is sent to an address


RETRY_MS = (5_000, 15_000, 30_000, MINUTE_MS, 2 * MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS)


def retry_after_ms(attempts: int) -> int:
    """Milliseconds to wait after so many attempts. The last wait repeats until the mail expires."""
    return RETRY_MS[min(attempts, len(RETRY_MS)) - 1]
