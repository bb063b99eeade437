"""API tokens: their scopes, lifetimes and models, and their status in the token list."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sluice.domain.accounts.account import NAME_CHARACTERS
from sluice.domain.gateway.admission import TokenLimits
from sluice.domain.gateway.publishable import PublicTerms
from sluice.domain.phrases import phrase

SCHEMA = 1
SCOPES = ("inference", "embeddings", "files", "batches")
HOUR_S, DAY_S = 3600, 86_400
LIFETIMES_S = {"1h": HOUR_S, "1d": DAY_S, "7d": 7 * DAY_S, "30d": 30 * DAY_S, "90d": 90 * DAY_S, "1y": 365 * DAY_S}
DEFAULT_EXPIRES_IN = "30d"
MIN_LIFETIME_S, MAX_LIFETIME_S = 60, 31_536_000
HINT_CHARACTERS = 6
MOST_TOKENS = 1_000  # that an account's list shows, of which few are live
MAX_GRACE_S = DAY_S  # in which an API token lives on after it was rotated
MAX_LIMIT = 10**12
MAX_MODELS, MODEL_CHARACTERS = 20, 100  # these are claims, and the token must fit in an HTTP header

# Printable ASCII except space, quote and backslash, because each such character is one byte in JSON too.
MODEL_NAME = re.compile(rf"[!#-\[\]-~]{{1,{MODEL_CHARACTERS}}}")

Status = Literal["active", "expired", "revoked"]
Kind = Literal["secret", "publishable"]


@dataclass(frozen=True)
class Claims:
    """The claims of a verified API token. Times are Unix seconds; `models` is None where all models are allowed.

    The signature does not show whether the token is still live: the account's grant does. `family`: the id of the API
    token that this one was rotated from, first of all; None for one that was not. `local_only`: its requests reach no
    model server that leaves home. `origin`: of the page that sends this request with a publishable token.
    """

    token_id: str
    account_id: str
    issued_s: int
    expires_s: int
    scopes: frozenset[str]
    models: tuple[str, ...] | None
    family: str | None = None
    local_only: bool = False
    publishable: bool = False
    origin: str = ""

    @property
    def judged_origin(self) -> str | None:
        """As `AdmissionRequest.origin`."""
        return self.origin if self.publishable else None


@dataclass(frozen=True)
class TokenRequest:
    """The properties of a new API token. `models`: None for all. `limits`: None for no limits of its own. `public`: of
    a publishable one."""

    name: str
    lifetime_s: int
    scopes: tuple[str, ...] = SCOPES
    models: tuple[str, ...] | None = None
    limits: TokenLimits | None = None
    local_only: bool = False
    public: PublicTerms | None = None


@dataclass(frozen=True)
class ApiToken:
    """The stored row of an API token. Of the token string itself, only the last characters are kept (`hint`).

    A field with a default may be missing from a stored item. `models` None means all. `rotated_from`: the id of the API
    token that it replaces. `ends_ms`: when it ends, because it was replaced. Its limits are in the grant only.
    """

    account_id: str
    token_id: str
    name: str
    hint: str
    scopes: tuple[str, ...]
    created_ms: int
    expires_ms: int
    models: tuple[str, ...] | None = None
    revoked_ms: int | None = None
    last_used_ms: int | None = None
    local_only: bool = False
    family: str | None = None
    rotated_from: str | None = None
    ends_ms: int | None = None
    kind: Kind = "secret"
    schema: int = SCHEMA

    @property
    def claims(self) -> Claims:
        times = self.created_ms // 1000, self.expires_ms // 1000
        names = (self.token_id, self.account_id)
        scopes, public = frozenset(self.scopes), self.is_publishable
        return Claims(*names, *times, scopes, self.models, self.family, self.local_only, public)

    @property
    def is_publishable(self) -> bool:
        return self.kind == "publishable"

    @property
    def of_family(self) -> str:
        return self.family or self.token_id

    @property
    def last_ms(self) -> int:
        """When it expires, or ends before that."""
        return self.expires_ms if self.ends_ms is None else self.ends_ms

    def status(self, live: Mapping[str, int], now_ms: int) -> Status:
        """`live`: of the grant, which decides. An unexpired token that the grant does not list is revoked."""
        if self.revoked_ms is not None:
            return "revoked"
        if min(self.last_ms, live.get(self.token_id, self.last_ms // 1000) * 1000) <= now_ms:
            return "expired"
        return "active" if self.token_id in live else "revoked"


def parse_expires_in(value: object) -> int:
    """The lifetime in seconds. Raises ValueError, with a message for the caller, also for floats and `true`."""
    if isinstance(value, str) and value in LIFETIMES_S:
        return LIFETIMES_S[value]
    if type(value) is int and MIN_LIFETIME_S <= value <= MAX_LIFETIME_S:
        return value
    forms = ", ".join(f'"{form}"' for form in LIFETIMES_S)
    raise ValueError(f"One of {forms}, or whole seconds from {MIN_LIFETIME_S} to {MAX_LIFETIME_S}.")


def parse_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """The scopes in the order of SCOPES, without duplicates. Raises ValueError for an empty list or unknown scope."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise ValueError(f"One or more of {', '.join(SCOPES)}.")
    return tuple(scope for scope in SCOPES if scope in scopes)


def parse_models(names: Sequence[str]) -> tuple[str, ...]:
    """The model names without duplicates, in the caller's order. Raises ValueError for the form of a name only,
    because only the gateway knows which models exist."""
    if not 1 <= len(names) <= MAX_MODELS:
        raise ValueError(phrase("From 1 to %(most)s model names; leave it out to allow all.", most=MAX_MODELS))
    if not all(MODEL_NAME.fullmatch(name) for name in names):
        raise ValueError(
            phrase("A model name has 1 to %(most)s ASCII letters, digits and marks, no spaces.", most=MODEL_CHARACTERS)
        )
    return tuple(dict.fromkeys(names))


def parse_token_name(text: str) -> str:
    """The name without spaces around it. Raises ValueError when it is empty, too long or not printable."""
    name = text.strip()
    if not 1 <= len(name) <= NAME_CHARACTERS or not name.isprintable():
        raise ValueError(phrase("From 1 to %(most)s printable characters.", most=NAME_CHARACTERS))
    return name
