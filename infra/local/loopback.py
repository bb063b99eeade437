"""Whether a request comes from this machine."""

from ipaddress import ip_address


def is_loopback_client(address: str | None) -> bool:
    """`address`: the peer's address as Flask reports it, IPv4-mapped IPv6 addresses (::ffff:127.0.0.1) included."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return False
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback
