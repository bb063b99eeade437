"""Accounts, and how email addresses are compared."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sluice.domain.errors import Conflict, FieldProblem, ValidationFailed

SCHEMA = 1
NAME_CHARACTERS = 100

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
class Account:
    """`session_epoch` is copied into every session. A session with another epoch is invalid."""

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
    """Two addresses are the same if they agree after NFC, IDNA and case folding, including the local part.

    Reserved test domains are accepted because mail to them goes nowhere.
    Errors: ValidationFailed, naming `field_name`.
    """
    from email_validator import EmailNotValidError, validate_email  # slow to import, and few functions need it

    try:
        valid = validate_email(text, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as exc:
        raise ValidationFailed((FieldProblem(field_name, str(exc)),)) from exc
    local = unicodedata.normalize("NFC", valid.local_part.casefold())
    return Address(valid.normalized, f"{local}@{valid.ascii_domain.lower()}")


def parse_name(text: str | None, field_name: str = "name") -> str:
    """A display name without spaces around it; empty when `text` is None. Errors: ValidationFailed."""
    name = unicodedata.normalize("NFC", text or "").strip()
    if len(name) > NAME_CHARACTERS:
        raise ValidationFailed((FieldProblem(field_name, f"At most {NAME_CHARACTERS} characters."),))
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise ValidationFailed((FieldProblem(field_name, "No control characters, please."),))
    return name
