"""Webhooks: addresses of an account that are told of its events (ADR 126).

Signed as Standard Webhooks says (https://github.com/standard-webhooks/standard-webhooks, version 1.0.0), with OpenAI's
names of events and form of the body. They carry ids, never content.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from sluice.domain.ids import ulid_of
from sluice.domain.phrases import later, phrase

EVENTS = (
    "response.completed",
    "response.incomplete",
    "response.failed",
    "response.cancelled",
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "quota.reached",
    "token.expiring",
)
TEST = "webhook.test"
MOST_WEBHOOKS = 5  # an account's
SHOWN_DELIVERIES = 50  # of one webhook, the newest
SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"
SECOND_MS, MINUTE_MS, HOUR_MS = 1_000, 60_000, 3_600_000
CLAIM_MS = MINUTE_MS  # longer than a process's turn at a webhook and its last attempt
GIVE_UP_MS = 24 * HOUR_MS  # after so long a delivery fails for good, and a webhook that took none is disabled
MOST_GRACE_SECONDS = 86_400
RETRY_MS = (5 * SECOND_MS, 30 * SECOND_MS, 2 * MINUTE_MS, 10 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS)
EXPIRY_NOTICE_MS = 7 * 24 * HOUR_MS  # before an API token expires that has lived for at least as long
TLS_PORT, FIRST_FREE_PORT = 443, 1024
SIGNS = re.compile(r"[!-~]{1,2000}")
INTERNET_6 = IPv6Network("2000::/3")  # so no IPv4 address in IPv6: mapped, translated (NAT64) or local
# Beside what `is_global` knows in every version of Python: tunnels, documentation, protocols.
SPECIAL: tuple[IPv4Network | IPv6Network, ...] = (
    *(IPv6Network(text) for text in ("2002::/16", "2001::/23", "3fff::/20")),
    *(IPv4Network(text) for text in ("192.0.0.0/24", "192.88.99.0/24")),
)

HTTPS = later("Write an address that begins with https://, without a user name, a password or a fragment (#).")
NO_PORT = later("Use port 443, or one from 1024 on.")
NOT_PUBLIC = later("This address is not on the public internet.")

Why = Literal["", "owner", "gone", "failing"]
State = Literal["waiting", "delivered", "failed"]


@dataclass(frozen=True)
class Webhook:
    """`secret`, `old_secret`: sealed. The old one signs beside the new one until `old_until_ms`. `why` it is disabled;
    empty: it is not. `failures`: attempts in a row that failed, since `failing_ms`. `due_ms`: when deliveries are
    tried next, or while they are, when that process counts as dead; None: nothing waits. `news`: how many events it
    was told to deliver."""

    account_id: str
    webhook_id: str
    url: str
    events: tuple[str, ...]
    created_ms: int
    secret: str = field(repr=False)
    old_secret: str = field(default="", repr=False)
    old_until_ms: int = 0
    why: Why = ""
    failures: int = 0
    failing_ms: int | None = None
    due_ms: int | None = None
    news: int = 0

    @property
    def is_enabled(self) -> bool:
        return not self.why

    def secrets(self, now_ms: int) -> tuple[str, ...]:
        """Sealed; the newest first."""
        return (self.secret, *([self.old_secret] if self.old_secret and now_ms < self.old_until_ms else []))


@dataclass(frozen=True)
class Event:
    """What happened. `event_id` is the same however often it is told, so that receivers can drop repetitions."""

    event_id: str
    type: str
    data: Mapping[str, Any]
    created_ms: int

    def body(self) -> bytes:
        told = {"id": self.event_id, "object": "event", "created_at": self.created_ms // 1000, "type": self.type}
        return json.dumps({**told, "data": dict(self.data)}, separators=(",", ":"), sort_keys=True).encode()


@dataclass(frozen=True)
class Delivery:
    """One event for one webhook. `until_ms`: when it is given up. `status`: of the last answer; None without one.
    `problem`: why the last attempt failed."""

    event: Event
    until_ms: int
    next_ms: int
    state: State = "waiting"
    attempts: int = 0
    last_ms: int | None = None
    status: int | None = None
    problem: str = ""


@dataclass(frozen=True)
class Told:
    """What came of one attempt. `reached`: the receiver answered at all."""

    status: int | None
    problem: str = ""

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        return self.status == 410

    @property
    def reached(self) -> bool:
        return self.status is not None


def event_id(created_ms: int, *occasion: str | int) -> str:
    """The same for the same occasion, and ordered by time."""
    digest = hashlib.sha256("\0".join(map(str, occasion)).encode()).digest()
    return "evt_" + ulid_of(created_ms.to_bytes(6, "big") + digest[:10]).lower()


def retry_after_ms(failures: int) -> int:
    """Milliseconds to wait after so many failures in a row, from 1."""
    return RETRY_MS[min(failures, len(RETRY_MS)) - 1]


def new_secret(raw: bytes) -> str:
    return SECRET_PREFIX + base64.b64encode(raw).decode()


def signed(event: Event, secrets: Iterable[str], now_ms: int) -> dict[str, str]:
    """The headers of one attempt: one signature for each secret."""
    second = str(now_ms // 1000)
    content = f"{event.event_id}.{second}.".encode() + event.body()
    keys = (base64.b64decode(secret.removeprefix(SECRET_PREFIX)) for secret in secrets)
    made = (base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": event.event_id,
        "webhook-timestamp": second,
        "webhook-signature": " ".join(f"v1,{one}" for one in made),
    }


def parse_url(text: str, *, allow_private: bool) -> str:
    """Errors: ValueError, with a message for the owner. Names are resolved only when something is sent."""
    try:
        parts = urlsplit(text if SIGNS.fullmatch(text) else "")
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise ValueError(HTTPS) from exc
    schemes = ("https", "http") if allow_private else ("https",)
    if not host or parts.scheme not in schemes or "@" in parts.netloc or parts.fragment:
        raise ValueError(HTTPS)
    if port is not None and not allow_private and port != TLS_PORT and port < FIRST_FREE_PORT:
        raise ValueError(NO_PORT)
    try:
        address = ip_address(host)
    except ValueError:
        return text
    if not may_reach(str(address), allow_private=allow_private):
        raise ValueError(NOT_PUBLIC)
    return text


def may_reach(text: str, *, allow_private: bool) -> bool:
    """Whether something may be sent to this address. `allow_private` lets through what is inside a house, but not
    link-local addresses, where clouds keep their secrets. Errors: ValueError, if it is no address."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and allow_private and address.ipv4_mapped:
        address = address.ipv4_mapped
    if allow_private:
        return not (address.is_link_local or address.is_multicast or address.is_unspecified)
    return _is_public(address)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address not in INTERNET_6:
        return False
    is_special = any(address in network for network in SPECIAL) or address.is_multicast or address.is_reserved
    return address.is_global and not is_special


def parse_events(given: Iterable[str]) -> tuple[str, ...]:
    """In the order of EVENTS. Errors: ValueError."""
    wanted = set(given)
    if not wanted or not wanted <= set(EVENTS):
        raise ValueError(phrase("Choose one or more of these: %(events)s.", events=", ".join(EVENTS)))
    return tuple(one for one in EVENTS if one in wanted)
