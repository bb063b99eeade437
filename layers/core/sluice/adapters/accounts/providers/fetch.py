"""One exchange with a provider: a few seconds and a few kilobytes at most, whatever it does.

Redirects are not followed: each address is named by the owner or by the provider's own document, and carries a secret.
"""

import json
import logging
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from sluice.adapters import outgoing
from sluice.domain.accounts.identities import ProviderUnavailable, SignInRefused
from sluice.domain.errors import Unavailable

log = logging.getLogger("sluice.providers")

MAX_BYTES = 262_144
BOUNDS = outgoing.Bounds(connect_seconds=2.0, seconds=4.0, most_bytes=MAX_BYTES + 1)
AGENT = "sluice"
SIGNS = re.compile(r"[!-~]{1,2000}")  # of an address: no blank and no line end, which `urlsplit` would drop


class Unusable(Exception):
    """The provider cannot be reached, or what it says is of no use. The text is for the log and holds no secret."""


class Refused(Exception):
    """The provider does not accept what the browser brought (RFC 6749, section 5.2)."""


@contextmanager
def answering(name: str, title: str) -> Iterator[None]:
    """A provider's answers are used in it, whatever their form. Errors: ProviderUnavailable, SignInRefused."""
    try:
        yield
    except Refused as exc:
        log.warning("%s refused: %s", name, exc)
        raise SignInRefused() from exc
    except (Unusable, Unavailable, LookupError, TypeError, AttributeError) as exc:
        log.warning("%s is of no use: %s %s", name, type(exc).__name__, exc)
        raise ProviderUnavailable(title) from exc


def require_safe(url: object, issuer: str) -> str:
    """https; or http to loopback, if the provider is there itself. Errors: Unusable."""
    try:
        parts = urlsplit(url if isinstance(url, str) and SIGNS.fullmatch(url) else "")
        host, _ = parts.hostname or "", parts.port
    except ValueError as exc:
        raise Unusable("an address that is none") from exc
    is_local = parts.scheme == "http" and issuer.startswith("http:") and _is_loopback(host)
    if not host or not (parts.scheme == "https" or is_local):
        raise Unusable(f"an address that is not https: {parts.scheme}://{host}")
    return str(url)


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def get(url: str, bearer: str = "") -> Any:
    """→ the JSON of a safe address. Errors: Unusable, Refused."""
    return _exchange("GET", url, {"Authorization": f"Bearer {bearer}"} if bearer else {}, None)


def post(url: str, form: Mapping[str, str], basic: tuple[str, str] | None = None) -> Any:
    """As `get`. `basic`: user and password (RFC 6749, section 2.3.1)."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if basic:
        pair = ":".join(quote(part, safe="") for part in basic)
        headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
    return _exchange("POST", url, headers, urlencode(form))


def _exchange(method: str, url: str, headers: Mapping[str, str], body: str | None) -> Any:
    parts = urlsplit(url)
    try:
        status, raw = outgoing.exchange(
            method, url, {"Accept": "application/json", "User-Agent": AGENT, **headers}, body, BOUNDS
        )
    except outgoing.ERRORS as exc:
        raise Unusable(f"{method} {parts.hostname}: {type(exc).__name__}") from exc
    if status == 400:
        raise Refused(f"{method} {parts.hostname}: {status}")
    if status != 200 or len(raw) > MAX_BYTES:
        raise Unusable(f"{method} {parts.hostname}: status {status}, {len(raw)} bytes")
    return _json(raw, f"{method} {parts.hostname}")


def _json(raw: bytes, where: str) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise Unusable(f"{where}: no JSON") from exc
