"""Which passwords are taken: NIST SP 800-63B, section 3.1.1.2: length and a blocklist, no rules of composition."""

import re
import unicodedata
from collections.abc import Mapping

from sluice.domain.errors import FieldProblem, ValidationFailed

MIN_CHARACTERS = 12
MAX_CHARACTERS = 256
# A shorter local part ("jo") is in too many good passwords for its presence to say anything.
MIN_LOCAL_PART_CHARACTERS = 3
BASE_WORDS = 1_000  # so many of the most common are refused with a tail of digits, too: "sunshine2026!"
# What this place makes people think of (ASVS 6.2.11). As with the commonest ones: not forbidden as a part of more, but
# alone, several of them in a row, or with a tail of digits.
CONTEXT_WORDS = (
    "account", "admin", "administrator", "apikey", "apitoken", "chat", "gateway", "llama", "llamacpp", "localhost",
    "model", "models", "openai", "playground", "sluice", "token", "tokens",
)  # fmt: skip
MIN_REPEATED_CHARACTERS = 4
MAX_REPEATS = 3

SEPARATORS = str.maketrans("", "", " -_.")
# No text can be read as such words in two ways, so this takes no longer than the text is long.
ONLY_CONTEXT = re.compile(rf"(?:(?:my|the)?(?:{'|'.join(CONTEXT_WORDS)}))+[0-9]*!*")


def normalised(password: str) -> str:
    """What is compared and hashed: the same password typed on another keyboard is the same (800-63B: NFKC)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, *, local_part: str, common: Mapping[str, int], field_name: str = "password") -> None:
    """`common` is the bundled list: case-folded password → rank from 0. Errors: ValidationFailed, naming the field."""
    problem = password_problem(password, local_part, common)
    if problem:
        raise ValidationFailed((FieldProblem(field_name, problem),))


def password_problem(password: str, local_part: str, common: Mapping[str, int]) -> str | None:
    """What is wrong with it, in words for its owner, or None."""
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        return f"A password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters."
    folded = normalised(password).casefold()
    part = normalised(local_part).casefold()
    if len(part) >= MIN_LOCAL_PART_CHARACTERS and part in folded:
        return "The password must not contain the part of your email address before the @."
    if is_common(folded, common):
        return "This password is one of the most common ones. Choose another."
    return None


def is_common(folded: str, common: Mapping[str, int]) -> bool:
    """Whether a case-folded password is on the list, or a listed one doubled, tripled, or with digits behind.

    Most entries of any such list are shorter than 12 characters: these are what people make of them.
    """
    if folded in common or _is_count(folded) or ONLY_CONTEXT.fullmatch(folded.translate(SEPARATORS)):
        return True
    base = folded.rstrip("!").rstrip("0123456789")
    if common.get(base, BASE_WORDS) < BASE_WORDS and base != folded:
        return True
    return any(
        len(folded) % times == 0
        and len(folded) // times >= MIN_REPEATED_CHARACTERS
        and folded[: len(folded) // times] in common
        and folded[: len(folded) // times] * times == folded
        for times in range(2, MAX_REPEATS + 1)
    )


def _is_count(folded: str) -> bool:
    """123456789012… and its like: digits, each one more than the last."""
    return folded.isascii() and folded.isdigit() and folded in "0123456789" * (len(folded) // 10 + 2)
