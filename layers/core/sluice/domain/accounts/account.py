"""Accounts, the registrations of an unverified one, and how email addresses are compared (docs/adr/0082)."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sluice.domain.accounts.factors import Factor
from sluice.domain.errors import Conflict, FieldProblem, ValidationFailed
from sluice.domain.phrases import exactly, later, phrase

INVALID = later("This email address is not valid.")
SCHEMA = 2  # 1 had folded addresses, and one registration in the account itself
NAME_CHARACTERS = 100
MAILED_FIRST = "quota.reached token.expiring"  # until an account chooses
TURNS = frozenset({"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"})  # they turn the text around a name
MAX_REGISTRATIONS = 3  # of one unverified account
UNVERIFIED_MS = 7 * 24 * 3600 * 1000  # how long an account lives whose address nobody verifies

Status = Literal["pending", "active", "suspended", "deleting"]  # deleting: logins and API tokens are already refused
Role = Literal["user", "admin"]


@dataclass(frozen=True)
class PendingCode:
    """The newest mailed code of one purpose. Older codes of that purpose are invalid because their id differs."""

    mail_id: str
    expires_ms: int
    created_ms: int
    new_email: str = ""  # change_email only: the requested address, as typed
    new_email_key: str = ""


@dataclass(frozen=True)
class Registered:
    """One registration of an unverified account. Its mailed link makes exactly this the account's."""

    password_hash: str = field(repr=False)
    name: str
    email: str  # as typed
    created_ms: int
    expires_ms: int  # of its link


@dataclass(frozen=True)
class Invitation:
    """Of an unverified account: what an admin wrote, and the mail whose code is valid. `plan`: empty for the default
    one. `sent`: how many mails went out."""

    mail_id: str
    email: str  # as typed
    plan: str
    by: str  # the admin's account id, or `operator`
    created_ms: int
    expires_ms: int
    sent: int = 1


@dataclass(frozen=True)
class Identity:
    """An account's sign-in by another site (`identities.py`). `provider`: its name in the owner's settings."""

    identity_id: str
    provider: str
    issuer: str
    subject: str
    email: str
    created_ms: int


@dataclass(frozen=True)
class Account:
    """`session_epoch` is copied into every session. A session with another epoch is invalid.

    Only an unverified account has `registrations`, an `invitation` and `ttl_s` (Unix seconds), when it ends;
    `password_hash`, `name` and `email` are those of its newest registration, if it has one. `redeemed`: the code that
    last verified an address. `factors` by their ids, and hashes of `recovery` codes with the time of their making: both
    empty, or neither is set up. `identities` by their ids: an account that was made by one has an empty `password_hash`
    until its owner sets a password.
    """

    account_id: str
    email: str
    email_key: str
    name: str
    password_hash: str = field(repr=False)
    created_ms: int
    role: Role = "user"
    status: Status = "pending"
    store_content: bool = True
    language: str = ""  # a key of LANGUAGES; empty until one is chosen
    mails: str = MAILED_FIRST  # the events of `domain.webhooks` that it is told of by mail
    session_epoch: int = 0
    codes: Mapping[str, PendingCode] = field(default_factory=dict)  # purpose → its newest code
    verified_ms: int | None = None
    registrations: Mapping[str, Registered] = field(default_factory=dict)  # by the mail id of the first link
    invitation: Invitation | None = None
    ttl_s: int | None = None
    redeemed: str = ""
    factors: Mapping[str, Factor] = field(default_factory=dict)
    recovery: Mapping[str, int] = field(default_factory=dict, repr=False)
    terms: str = ""  # the version of the terms of use that were accepted last, at `terms_ms`
    terms_ms: int | None = None
    identities: Mapping[str, Identity] = field(default_factory=dict)
    schema: int = SCHEMA

    def wants_mail(self, event: str) -> bool:
        return event in self.mails.split()

    def has_ended(self, now_ms: int) -> bool:
        """The store deletes the items of an ended account late, so every read and write checks this, too."""
        return self.ttl_s is not None and self.ttl_s * 1000 <= now_ms

    def is_invited(self, now_ms: int) -> bool:
        return self.invitation is not None and self.invitation.expires_ms > now_ms


class AddressTaken(Conflict):
    """Another account has this address. Registration hides this from the caller: its answer is always the same."""

    default_message = "This email address is in use."


@dataclass(frozen=True)
class Address:
    """`given` is the address mail is sent to; `key` is the normalised form that is compared."""

    given: str
    key: str

    @property
    def local_part(self) -> str:
        return self.given.rpartition("@")[0]


def parse_address(text: str, field_name: str = "email") -> Address:
    """Two addresses are the same if they agree after NFC, IDNA and lower case, including the local part.

    Not after case folding, because that makes one of `ß` and `ss`, or of `ſ` and `s`, which are two mailboxes.
    Reserved test domains are accepted because mail to them goes nowhere.
    Errors: ValidationFailed, naming `field_name`.
    """
    from email_validator import EmailNotValidError, validate_email  # slow to import, and few functions need it

    try:
        valid = validate_email(text, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as exc:
        raise ValidationFailed((FieldProblem(field_name, exactly(str(exc), INVALID)),)) from exc
    return Address(valid.normalized, f"{lower(valid.local_part)}@{valid.ascii_domain.lower()}")


def lower(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def parse_name(text: str | None, field_name: str = "name") -> str:
    """A display name without spaces around it; empty when `text` is None. Errors: ValidationFailed."""
    name = unicodedata.normalize("NFC", text or "").strip()
    if len(name) > NAME_CHARACTERS:
        raise ValidationFailed(
            (FieldProblem(field_name, phrase("At most %(most)s characters.", most=NAME_CHARACTERS)),)
        )
    if any(unicodedata.category(one) in ("Cc", "Cs") or unicodedata.bidirectional(one) in TURNS for one in name):
        raise ValidationFailed((FieldProblem(field_name, "No control characters, please."),))
    return name
