"""The addresses that mails leave from: reverse DNS, and whether they are known as ones that send no mail."""

import re
from ipaddress import ip_address

from dns.name import from_text
from dns.reversename import from_address

from infra.doctor.finding import Findings, note, ok, problem
from infra.doctor.mail.lookup import Dns

# The list that most receivers use. It answers with what the address is known for.
BLOCKLIST = "zen.spamhaus.org"
NO_ANSWER = "127.255.255."
BY_ITS_PROVIDER = ("127.0.0.10", "127.0.0.11")
WORDS = r"dyn|dynamic|dhcp|dsl|adsl|vdsl|cable|pool|ppp|pppoe|dial|dialup|home|res|residential|broadband|customer|cust"
OF_A_HOME = re.compile(rf"(?:^|[.-])(?:{WORDS})(?:[.-]|\d|$)")


def leaves_from(dns: Dns, address: str) -> Findings:
    if not ip_address(address).is_global:
        yield note(f"{address} is no address of the internet; mails leave from another.", "Name it: --address ADDRESS")
    yield from _reverse(dns, address)
    yield from _listed(dns, address)


def _reverse(dns: Dns, address: str) -> Findings:
    names = dns.names_of(address)
    if not names:
        yield problem(
            f"{address} has no name (PTR). Gmail and most others refuse mails from there.",
            "Who rents you the address sets it, such as your server's provider. At home usually nobody does.",
        )
        return
    confirmed = [name for name in names if ip_address(address) in map(ip_address, dns.addresses(name))]
    if not confirmed:
        yield problem(
            f"{address} has the name {names[0]}, which does not lead back to it.",
            f"Add {'an AAAA' if ':' in address else 'an A'} record of {names[0]}, or have the address named anew.",
        )
    elif OF_A_HOME.search(confirmed[0]) or _holds(confirmed[0], address):
        yield note(
            f"{address} has the name {confirmed[0]}, which looks like one of a home connection.",
            "Many receivers refuse mails from such names. Have it changed to the name of your mail server.",
        )
    else:
        yield ok(f"{address} is {confirmed[0]}, and the reverse")


def _holds(name: str, address: str) -> bool:
    """Whether the name is made of the address, as providers name all of theirs."""
    parts = address.split(".")
    return len(parts) == 4 and all(re.search(rf"(?<!\d)0*{part}(?!\d)", name) for part in parts)


def _listed(dns: Dns, address: str) -> Findings:
    zone = from_text(BLOCKLIST)
    asked = from_address(address, v4_origin=zone, v6_origin=zone).to_text()
    codes = dns.addresses(asked, ("A",))
    if any(code.startswith(NO_ANSWER) for code in codes):
        yield note(f"{BLOCKLIST} does not answer your DNS server.", "Look the address up at check.spamhaus.org.")
    elif any(code in BY_ITS_PROVIDER for code in codes):
        yield problem(
            f"{address} is in a range whose provider lets no mail servers run (Spamhaus PBL), such as homes.",
            "Most receivers refuse mails from there. Send through a provider (docs/mail.md).",
        )
    elif codes:
        yield problem(
            f"{address} is on Spamhaus' blocklist ({', '.join(codes)}).",
            "See why at check.spamhaus.org, and ask there.",
        )
    else:
        yield ok(f"{address} is on no list of Spamhaus")
