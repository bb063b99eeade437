"""Where a request comes from. Headers of proxies are believed only from proxies that the settings name."""

from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from flask import request

from sluice import settings


def client_address() -> str:
    """The client's IP address, or "" where there is none (a Unix socket).

    On Lambda it is API Gateway's own word: apig-wsgi's REMOTE_ADDR is the first `X-Forwarded-For`, which is the
    client's to write. Elsewhere: the peer, or behind a trusted proxy the last address it did not add itself.
    """
    context = request.environ.get("apig_wsgi.request_context")
    if context is not None:
        return str(context.get("identity", {}).get("sourceIp", ""))
    address = request.remote_addr or ""
    trusted = _trusted(settings.accounts().trusted_proxies)
    hops = [hop.strip() for hop in ",".join(request.headers.getlist("X-Forwarded-For")).split(",") if hop.strip()]
    while hops and _is_among(address, trusted):
        address = hops.pop()
    return address


@cache
def _trusted(networks: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(network.strip(), strict=False) for network in networks.split(",") if network.strip())


def _is_among(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
