"""Publishable API tokens: for a public page, whose visitors all hold the same token and have no account.

Three things are checked of each request, by the grant: the page's origin, requests a day of all visitors, and requests
a minute of each. Only a browser tells the origin truly, so what bounds a thief are the two limits.
See docs/adr/0133-publishable-tokens.md.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

DAY_NS = 86_400_000_000_000
PREFIX = "pk_"  # before the JWT, so that people and secret scanners see what it is
SCOPES = ("inference", "embeddings")  # what such a token may have
MAX_ORIGINS, ORIGIN_CHARACTERS = 10, 200  # they stand in the grant, of which every byte counts
DEFAULT_VISITOR_RPM, DEFAULT_DAILY_REQUESTS = 10, 1_000
# As browsers send it: no path, no user, no wildcard; a name in ASCII, an IPv4 address, or an IPv6 one in brackets.
ORIGIN = re.compile(r"(https?)://([a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.ASCII)
USUAL_PORTS = {"http": "80", "https": "443"}  # which browsers leave out


@dataclass(frozen=True)
class PublicTerms:
    """`origins`: whose pages may use the token, as browsers send them. `daily_requests`: of all visitors together, a
    UTC day. `visitor_rpm`: requests a minute of each visitor. `salt`: the key of visitors' addresses, the token's own,
    so that no table holds an address and no two tokens know that they have a visitor in common."""

    origins: tuple[str, ...]
    daily_requests: int = DEFAULT_DAILY_REQUESTS
    visitor_rpm: int = DEFAULT_VISITOR_RPM
    salt: str = ""


def parse_origins(texts: Sequence[str]) -> tuple[str, ...]:
    """The origins as browsers send them, without duplicates. Raises ValueError with a message for the caller."""
    if not 1 <= len(texts) <= MAX_ORIGINS:
        raise ValueError(f"From 1 to {MAX_ORIGINS} origins, such as https://ada.example.")
    return tuple(dict.fromkeys(map(_origin, texts)))


def _origin(text: str) -> str:
    found = ORIGIN.fullmatch(text.strip().lower()) if len(text) <= ORIGIN_CHARACTERS else None
    if found is None or int(found[3] or 1) not in range(1, 65_536):
        raise ValueError(
            f"{text[:ORIGIN_CHARACTERS]!r} is no origin. Write scheme, host and, if it has one, port: "
            "https://ada.example or http://localhost:8000, without a path, a slash at the end, or *."
        )
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" + (f":{int(port)}" if port and port != USUAL_PORTS[scheme] else "")


def visitor_key(terms: PublicTerms, network: str) -> str:
    """The key of one visitor's requests. `network`: an IPv4 address, or the /64 of an IPv6 one."""
    return "visitor#" + hmac.new(terms.salt.encode(), network.encode(), hashlib.sha256).hexdigest()[:32]


def day_number(now_ns: int) -> int:
    """Days since 1970, UTC."""
    return now_ns // DAY_NS


def day_left_seconds(now_ns: int) -> int:
    return -(-(DAY_NS - now_ns % DAY_NS) // 1_000_000_000)
