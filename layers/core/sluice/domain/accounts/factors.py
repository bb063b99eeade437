"""Second factors of an account: authenticator apps, passkeys and recovery codes; and the questions they answer.

A question is asked once and answered within minutes: at a login whose password was right, in a session before something
that matters, or while a factor is set up. It is no session.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sluice.domain.errors import InvalidCredentials
from sluice.domain.ids import random_id

SCHEMA = 1
MOST_FACTORS = 10  # an account's
NAME_CHARACTERS = 60
STEP_SECONDS = 30  # RFC 6238
DRIFT_STEPS = 1  # accepted before and after the current step (RFC 6238, section 5.2)
RECOVERY_CODES = 10
RECOVERY_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # without letters and digits that look alike
RECOVERY_CHARACTERS = 16  # of 32 letters: 80 bits, so that a fast hash is enough
QUESTION_MS = 5 * 60_000
SETUP_MS = 15 * 60_000
MOST_TRIES = 5  # at one question
FRESH_MS = 15 * 60_000  # how long a session counts as just proven

FactorKind = Literal["totp", "passkey"]
Purpose = Literal["login", "confirm", "totp", "passkey", "provider", "link"]


@dataclass(frozen=True)
class Factor:
    """`secret`, encrypted, and the `last_step` used belong to an app; the other optional fields to a passkey."""

    factor_id: str
    kind: FactorKind
    name: str
    created_ms: int
    last_used_ms: int | None = None
    secret: str = field(default="", repr=False)
    last_step: int = 0
    credential_id: str = ""
    public_key: str = ""
    sign_count: int = 0
    transports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """`key`: where it is stored. `secret`: the bytes a passkey signs, the encrypted secret of an app being set up, or
    what a sign-in by a provider waits for (`identities.py`).

    `epoch`: the account's, when it was asked: a new password makes it invalid.
    """

    key: str
    purpose: Purpose
    asked_of: str
    epoch: int
    expires_ms: int
    secret: str = field(default="", repr=False)
    tries: int = 0
    schema: int = SCHEMA


@dataclass(frozen=True)
class Proof:
    """What a person shows: a password, a code (of an app, or a recovery code), or what a passkey signed."""

    password: str = field(default="", repr=False)
    code: str = field(default="", repr=False)
    credential: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SignedBy:
    """A passkey's right answer."""

    factor: Factor
    sign_count: int


class ChallengeInvalid(InvalidCredentials):
    """Unknown, used, expired, tried too often, or overtaken by a new password. One error, which gives nothing away."""

    default_message = "This login has expired. Begin again with your password."


class WrongFactor(InvalidCredentials):
    default_message = "The code is wrong, or was used already."


class PasskeyRefused(InvalidCredentials):
    default_message = "The passkey was not accepted."


class PasskeyCopied(PasskeyRefused):
    """Its counter went back (WebAuthn, section 6.1.1)."""

    default_message = "This passkey's counter went back, as a copy's would. Use another way, then remove this passkey."


# --- questions


def new_challenge() -> tuple[str, str]:
    """A challenge, which only the client keeps, and the key that its question is stored under."""
    challenge = "chl_" + secrets.token_urlsafe(32)
    return challenge, challenge_key(challenge)


def challenge_key(challenge: str) -> str:
    return "chl_" + hashlib.sha256(challenge.encode()).hexdigest()


def key_of(purpose: Purpose, subject: str) -> str:
    """The key of the one question of this purpose that a session or an account may have."""
    return f"{purpose}_{subject}"


def new_question(purpose: Purpose, key: str, account_id: str, epoch: int, *, now_ms: int, secret: str = "") -> Question:
    """With fresh random bytes to sign unless there is another secret."""
    life_ms = QUESTION_MS if purpose in ("login", "confirm") else SETUP_MS
    return Question(key, purpose, account_id, epoch, now_ms + life_ms, secret or secrets.token_urlsafe(32))


# --- codes of an app


def new_factor(kind: FactorKind, name: str, now_ms: int, **more: Any) -> Factor:
    return Factor(more.pop("factor_id", "") or random_id("fac_"), kind, name, now_ms, **more)


def digits(code: str) -> str:
    """As it is compared: people type `123 456`."""
    return "".join(code.split()).replace("-", "")


def is_app_code(code: str) -> bool:
    plain = digits(code)
    return len(plain) == 6 and plain.isascii() and plain.isdigit()


def matching_step(secret: str, code: str, now_ms: int) -> int | None:
    """The newest time step near now whose code this is. All are compared, in constant time each."""
    import pyotp  # few functions need it

    generator, now = pyotp.TOTP(secret), now_ms // 1000 // STEP_SECONDS
    steps = range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1)
    found = [step for step in steps if hmac.compare_digest(generator.generate_otp(step), digits(code))]
    return max(found, default=None)


def otpauth_url(secret: str, email: str, site: str) -> str:
    """As authenticator apps read it. A colon would end the site's name in it."""
    import pyotp

    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=site.replace(":", " ").strip() or "Sluice")


# --- recovery codes


def new_recovery_codes() -> list[str]:
    return [_recovery_code() for _ in range(RECOVERY_CODES)]


def _recovery_code() -> str:
    text = "".join(secrets.choice(RECOVERY_ALPHABET) for _ in range(RECOVERY_CHARACTERS))
    return "-".join(text[place : place + 4] for place in range(0, RECOVERY_CHARACTERS, 4))


def recovery_hash(code: str) -> str:
    return hashlib.sha256(digits(code).lower().encode()).hexdigest()
