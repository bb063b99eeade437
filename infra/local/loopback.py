"""The rule of `/metrics` and `/_local`: they answer programs on this machine, and no proxy and no foreign web page."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Request

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
FORWARDED = ("Forwarded", "X-Forwarded", "X-Real-Ip", "Via")
"""How the names of headers begin that proxies add."""


def is_from_this_machine(request: Request) -> bool:
    """Whether the peer is loopback and neither a proxy nor a foreign web page asks through it.

    A page's own name may resolve to 127.0.0.1 (DNS rebinding), so `Host` must name this machine.
    """
    headers = request.headers
    return (
        is_loopback_client(request.remote_addr)
        and not any(name.startswith(FORWARDED) for name, _ in headers)
        and _host_name(request.host) in LOCAL_NAMES
        and headers.get("Origin", request.host_url).rstrip("/") == request.host_url.rstrip("/")
        and headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
    )


def is_loopback_client(address: str | None) -> bool:
    """`address`: the peer's address as Flask reports it, IPv4-mapped IPv6 addresses (::ffff:127.0.0.1) included."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return False
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
