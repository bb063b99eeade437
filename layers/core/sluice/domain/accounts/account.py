"""Accounts, and when two email addresses are the same one."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sluice.domain.errors import Conflict, FieldProblem, ValidationFailed

SCHEMA = 1
NAME_CHARACTERS = 100

Status = Literal["pending", "active", "suspended", "deleting"]  # deleting: on its way out, to everyone gone already
Role = Literal["user", "admin"]


@dataclass(frozen=True)
class PendingCode:
    """The newest mailed code of one purpose: all older ones of that purpose are dead because they are not this one."""

    mail_id: str
    expires_ms: int
    created_ms: int
    new_email: str = ""  # change_email only: the address asked for, as given
    new_email_key: str = ""


@dataclass(frozen=True)
class Account:
    """`session_epoch` is in every session: one made under another epoch is no session any more."""

    account_id: str
    email: str
    email_key: str
    name: str
    password_hash: str = field(repr=False)
    created_ms: int
    role: Role = "user"
    status: Status = "pending"
    store_content: bool = True
    session_epoch: int = 0
    codes: Mapping[str, PendingCode] = field(default_factory=dict)  # purpose → its newest code
    verified_ms: int | None = None
    schema: int = SCHEMA


class AddressTaken(Conflict):
    """Another account has this address. Registration never tells a caller so: it answers the same either way."""

    default_message = "This email address is in use."


@dataclass(frozen=True)
class Address:
    """`given` is where mail goes, `key` is what is compared."""

    given: str
    key: str

    @property
    def local_part(self) -> str:
        return self.given.rpartition("@")[0]


def parse_address(text: str, field_name: str = "email") -> Address:
    """Two addresses are one if they agree after NFC, IDNA and case folding, the local part included.

    Reserved test domains are accepted: they harm nobody, and mail to them goes nowhere.
    Errors: ValidationFailed, naming `field_name`.
    """
    from email_validator import EmailNotValidError, validate_email  # for whoever takes an address: it is slow to import

    try:
        valid = validate_email(text, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as exc:
        raise ValidationFailed((FieldProblem(field_name, str(exc)),)) from exc
    local = unicodedata.normalize("NFC", valid.local_part.casefold())
    return Address(valid.normalized, f"{local}@{valid.ascii_domain.lower()}")


def parse_name(text: str | None, field_name: str = "name") -> str:
    """A display name, trimmed; empty when none was given. Errors: ValidationFailed."""
    name = unicodedata.normalize("NFC", text or "").strip()
    if len(name) > NAME_CHARACTERS:
        raise ValidationFailed((FieldProblem(field_name, f"At most {NAME_CHARACTERS} characters."),))
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise ValidationFailed((FieldProblem(field_name, "No control characters, please."),))
    return name
