"""Which passwords are accepted. NIST SP 800-63B, section 3.1.1.2: length and a blocklist, no composition rules."""

import re
import unicodedata
from collections.abc import Mapping

from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.domain.phrases import phrase

MIN_CHARACTERS = 12
MAX_CHARACTERS = 256
# A shorter local part ("jo") occurs by chance in too many good passwords.
MIN_LOCAL_PART_CHARACTERS = 3
BASE_WORDS = 1_000  # this many of the most common are also refused with digits behind: "sunshine2026!"
# Words that users of this service think of first (ASVS 6.2.11). A password may contain them, but must not consist only
# of them, with or without digits behind.
CONTEXT_WORDS = (
    "account", "admin", "administrator", "apikey", "apitoken", "chat", "gateway", "llama", "llamacpp", "localhost",
    "model", "models", "openai", "playground", "sluice", "token", "tokens",
)  # fmt: skip
MIN_REPEATED_CHARACTERS = 4
MAX_REPEATS = 3

SEPARATORS = str.maketrans("", "", " -_.")
# These words can be matched in one way only, so the match takes linear time.
ONLY_CONTEXT = re.compile(rf"(?:(?:my|the)?(?:{'|'.join(CONTEXT_WORDS)}))+[0-9]*!*")


def normalised(password: str) -> str:
    """The form that is compared and hashed, so that every keyboard gives the same password: NFKC, as SP 800-63B asks.

    Full-width letters equal plain ones, because Japanese and Chinese keyboards type either, and a password field does
    not show which. Nothing is trimmed: a space at the end counts everywhere.
    """
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, *, local_part: str, common: Mapping[str, int], field_name: str = "password") -> None:
    """`common`: the bundled list, case-folded password → rank from 0. Errors: ValidationFailed, naming the field."""
    problem = password_problem(password, local_part, common)
    if problem:
        raise ValidationFailed((FieldProblem(field_name, problem),))


def password_problem(password: str, local_part: str, common: Mapping[str, int]) -> str | None:
    """What is wrong with the password, as a message for the user, or None."""
    if not MIN_CHARACTERS <= len(normalised(password)) <= MAX_CHARACTERS:
        return phrase("A password has %(least)s to %(most)s characters.", least=MIN_CHARACTERS, most=MAX_CHARACTERS)
    folded = normalised(password).casefold()
    part = normalised(local_part).casefold()
    if len(part) >= MIN_LOCAL_PART_CHARACTERS and part in folded:
        return phrase("The password must not contain the part of your email address before the @.")
    if is_common(folded, common):
        return phrase("This password is one of the most common ones. Choose another.")
    return None


def is_common(folded: str, common: Mapping[str, int]) -> bool:
    """Whether a case-folded password is on the list, or is a listed one doubled, tripled, or with digits behind.

    Most listed passwords are shorter than our minimum, and people lengthen them in these ways.
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
    """Whether all are digits, each one more than the last: 123456789012…"""
    return folded.isascii() and folded.isdigit() and folded in "0123456789" * (len(folded) // 10 + 2)
