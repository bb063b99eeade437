"""Cursors: a position in a list as opaque text, with a check that detects mistyped ones."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

from sluice.domain.errors import FieldProblem, ValidationFailed

CHECK_CHARACTERS = 8
SEPARATOR = "\x1f"


def cursor(purpose: str, *position: str) -> str:
    """The check is not for security, because a cursor reaches only items that its list shows anyway."""
    said = SEPARATOR.join(position)
    return urlsafe_b64encode(f"{_check(purpose, said)}{said}".encode()).decode().rstrip("=")


def position(purpose: str, text: str, parts: int) -> tuple[str, ...]:
    """The `parts` of a cursor. Errors: ValidationFailed (mistyped, or of another list)."""
    try:
        plain = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        plain = ""
    check, said = plain[:CHECK_CHARACTERS], plain[CHECK_CHARACTERS:]
    found = tuple(said.split(SEPARATOR))
    if check != _check(purpose, said) or len(found) != parts:
        raise ValidationFailed((FieldProblem("cursor", "This is no `next_cursor` of this list."),))
    return found


def _check(purpose: str, said: str) -> str:
    return hashlib.sha256(f"{purpose}{SEPARATOR}{said}".encode()).hexdigest()[:CHECK_CHARACTERS]
