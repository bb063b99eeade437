"""Cursors: a position in a list as opaque text, with a check that detects mistyped ones."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

from sluice.domain.errors import FieldProblem, ValidationFailed

CHECK_CHARACTERS = 8
SEPARATOR = "\x1f"


def cursor(purpose: str, *position: str) -> str:
    """The check is not for security, because a cursor reaches only items that its list shows anyway."""
    joined = SEPARATOR.join(position)
    return urlsafe_b64encode(f"{_check(purpose, joined)}{joined}".encode()).decode().rstrip("=")


def position(purpose: str, text: str, parts: int) -> tuple[str, ...]:
    """The `parts` of a cursor. Errors: ValidationFailed (mistyped, or of another list)."""
    try:
        plain = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        plain = ""
    found = tuple(plain[CHECK_CHARACTERS:].split(SEPARATOR))
    if cursor(purpose, *found) != text or len(found) != parts:
        raise ValidationFailed((FieldProblem("cursor", "This is no `next_cursor` of this list."),))
    return found


def _check(purpose: str, joined: str) -> str:
    return hashlib.sha256(f"{purpose}{SEPARATOR}{joined}".encode()).hexdigest()[:CHECK_CHARACTERS]
