"""API tokens: what one may do and for how long, and what the list says of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sluice.domain.accounts.account import NAME_CHARACTERS

SCHEMA = 1
SCOPES = ("inference", "embeddings", "files", "batches")
HOUR_S, DAY_S = 3600, 86_400
LIFETIMES_S = {"1h": HOUR_S, "1d": DAY_S, "7d": 7 * DAY_S, "30d": 30 * DAY_S, "90d": 90 * DAY_S, "1y": 365 * DAY_S}
DEFAULT_EXPIRES_IN = "30d"
MIN_LIFETIME_S, MAX_LIFETIME_S = 60, 31_536_000
HINT_CHARACTERS = 6
MAX_MODELS, MODEL_CHARACTERS = 20, 100  # they are claims: the token must still fit a header

# A byte each, also in JSON: printable ASCII but for space, quote and backslash.
MODEL_NAME = re.compile(rf"[!#-\[\]-~]{{1,{MODEL_CHARACTERS}}}")

Status = Literal["active", "expired", "revoked"]


@dataclass(frozen=True)
class Claims:
    """What a verified API token says. Times are Unix seconds; `models` None means all. Whether it is still live is
    the grant's to say, not the signature's."""

    token_id: str
    account_id: str
    issued_s: int
    expires_s: int
    scopes: frozenset[str]
    models: tuple[str, ...] | None


@dataclass(frozen=True)
class TokenRequest:
    """What a new API token shall be. `models` None means all."""

    name: str
    lifetime_s: int
    scopes: tuple[str, ...] = SCOPES
    models: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ApiToken:
    """The row behind the list: everything but the string itself, of which only the last characters are kept."""

    account_id: str
    token_id: str
    name: str
    hint: str
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None
    created_ms: int
    expires_ms: int
    revoked_ms: int | None = None
    last_used_ms: int | None = None
    schema: int = SCHEMA

    def status(self, live: Mapping[str, int], now_ms: int) -> Status:
        """`live` is the grant's, the truth; the row only remembers. Not on it and not expired means revoked."""
        if self.revoked_ms is not None:
            return "revoked"
        if self.expires_ms <= now_ms:
            return "expired"
        return "active" if self.token_id in live else "revoked"


def parse_expires_in(value: object) -> int:
    """Seconds. Raises ValueError, with words for the caller, for all but the contract's forms: no floats, no `true`."""
    if isinstance(value, str) and value in LIFETIMES_S:
        return LIFETIMES_S[value]
    if type(value) is int and MIN_LIFETIME_S <= value <= MAX_LIFETIME_S:
        return value
    forms = ", ".join(f'"{form}"' for form in LIFETIMES_S)
    raise ValueError(f"One of {forms}, or whole seconds from {MIN_LIFETIME_S} to {MAX_LIFETIME_S}.")


def parse_scopes(wanted: Sequence[str]) -> tuple[str, ...]:
    """In our order, each once. Raises ValueError."""
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise ValueError(f"One or more of {', '.join(SCOPES)}.")
    return tuple(scope for scope in SCOPES if scope in wanted)


def parse_models(wanted: Sequence[str]) -> tuple[str, ...]:
    """Names of models, each once, as given. Which exist is the gateway's to know. Raises ValueError."""
    if not 1 <= len(wanted) <= MAX_MODELS:
        raise ValueError(f"From 1 to {MAX_MODELS} model names; leave it out to allow all.")
    if not all(MODEL_NAME.fullmatch(name) for name in wanted):
        raise ValueError(f"A model name has 1 to {MODEL_CHARACTERS} ASCII letters, digits and marks, no spaces.")
    return tuple(dict.fromkeys(wanted))


def parse_token_name(text: str) -> str:
    """Trimmed. Raises ValueError."""
    name = text.strip()
    if not 1 <= len(name) <= NAME_CHARACTERS or not name.isprintable():
        raise ValueError(f"From 1 to {NAME_CHARACTERS} printable characters.")
    return name
