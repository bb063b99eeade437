"""The client's address. Proxy headers are trusted only from proxies that the settings name."""

import json
import os
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from flask import request

from sluice import settings

ADAPTERS_HEADER = "x-amzn-request-context"


def client_address() -> str:
    """The client's IP address, or "" if there is none (a Unix socket).

    On Lambda, API Gateway's request context names it. The peer is wrong there: apig-wsgi's REMOTE_ADDR is the first
    `X-Forwarded-For`, which the client can write, and under the Web Adapter the peer is the adapter. Elsewhere it is
    the peer, or behind trusted proxies the last `X-Forwarded-For` address that is not a trusted proxy's.
    """
    context = request.environ.get("apig_wsgi.request_context") or _adapters_context()
    if context is not None:
        return str(context.get("identity", {}).get("sourceIp", ""))
    address = request.remote_addr or ""
    trusted = _trusted(settings.accounts().trusted_proxies)
    hops = [hop.strip() for hop in ",".join(request.headers.getlist("X-Forwarded-For")).split(",") if hop.strip()]
    while hops and _is_among(address, trusted):
        address = hops.pop()
    return address


def _adapters_context() -> dict[str, Any] | None:
    """The event's request context from the Lambda Web Adapter, which replaces a header of this name from the client.
    Outside Lambda nothing replaces it, so the header is not trusted and the answer is None."""
    if "AWS_LAMBDA_RUNTIME_API" not in os.environ or ADAPTERS_HEADER not in request.headers:
        return None
    try:
        context = json.loads(request.headers[ADAPTERS_HEADER])
    except ValueError:
        return {}
    return context if isinstance(context, dict) else {}


@cache
def _trusted(networks: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(network.strip(), strict=False) for network in networks.split(",") if network.strip())


def _is_among(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
