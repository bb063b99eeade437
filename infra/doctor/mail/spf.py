"""SPF (RFC 7208): which addresses may send for a domain, with the limits on lookups that receivers apply.

Macros are not expanded, because their answer depends on each mail.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Literal

from infra.doctor.mail.lookup import Dns

MAX_LOOKUPS, MAX_VOIDS, MAX_NAMES = 10, 2, 10
DOMAIN = r"((?:[^\s/]*\.)(?!\d+\.?$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.?|[^\s/]*%\{[^\s/}]*\})"
LENGTHS = r"(?:/(0|[1-9]\d*))?(?://(0|[1-9]\d*))?"
TERM = re.compile(
    rf"([+?~-]?)(?:(all)|(ip[46]):(\S+)|(include|exists):{DOMAIN}|(ptr)(?::{DOMAIN})?|(a|mx)(?::{DOMAIN})?{LENGTHS})",
    re.IGNORECASE,
)
MODIFIER = re.compile(rf"(?:(redirect|exp)={DOMAIN}|(?!redirect=|exp=)[a-z][a-z0-9_.-]*=\S*)", re.IGNORECASE)
Result = Literal["pass", "fail", "softfail", "neutral", "none"]
RESULTS: dict[str, Result] = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}


class Broken(Exception):
    """Receivers treat the whole record as an error (permerror). The message says why."""


@dataclass
class Spf:
    """The walk through a domain's record for one address. Without an address it goes through all of the record, and
    passes where everybody would."""

    dns: Dns
    address: str = ""
    lookups: int = 0
    voids: int = 0
    macros: bool = False
    reverse: bool = False  # `ptr` is used, which RFC 7208 advises against
    _inside: list[str] = field(default_factory=list)

    def of(self, domain: str) -> Result:
        """Errors: Broken, Unanswered, NoResolver."""
        if (text := record(self.dns, domain)) is None:
            return "none"
        terms, redirect = _terms(domain, text)
        for term in terms:
            if result := self._matches(domain, term):
                return result
        if not redirect or any(term[2] for term in terms):
            return "neutral"
        self._count(domain, f"redirect={redirect}")
        return self._within(redirect)

    def _matches(self, domain: str, term: re.Match[str]) -> Result | None:
        result = RESULTS[term[1] or "+"]
        if term[2]:
            return result
        if network := term[4]:
            if (":" in network) != (term[3].lower() == "ip6"):
                raise Broken(f"{domain} has “{term[0]}”, an address of the other kind")
            return result if _in(self.address, [network], domain, term[0]) else None
        kind, target = (term[5] or term[7] or term[9]).lower(), term[6] or term[8] or term[10] or domain
        self._count(domain, term[0])
        if "%" in target:
            self.macros = True
        elif kind == "include":
            return result if self._within(target) == "pass" else None
        elif kind == "ptr":
            self.reverse = True
            names = self.dns.names_of(self.address)[:MAX_NAMES] if self.address else []
            own = [name for name in names if f".{name}".endswith(f".{target.lower()}")]
            found = [one for name in own for one in self.dns.addresses(name)]
            return result if _in(self.address, found, domain, term[0]) else None
        elif kind == "exists":
            return result if self._found(self.dns.addresses(target, ("A",))) and self.address else None
        else:
            lengths = {4: term[11] or "32", 6: term[12] or "128"}
            networks = [f"{one}/{lengths[ip_address(one).version]}" for one in self._hosts(kind, target)]
            return result if _in(self.address, networks, domain, term[0]) else None
        return None

    def _hosts(self, kind: str, target: str) -> Iterator[str]:
        names = [target] if kind == "a" else self._found(self.dns.mx(target))
        if len(names) > MAX_NAMES:
            raise Broken(f"{target} has more than {MAX_NAMES} mail servers (MX)")
        for name in names:
            found = self.dns.addresses(name)
            yield from self._found(found) if kind == "a" else found

    def _within(self, target: str) -> Result:
        """The result of another domain's record."""
        if "%" in target:
            self.macros = True
            return "neutral"
        if target.lower() in self._inside:
            raise Broken(f"the record of {target} includes itself")
        self._inside.append(target.lower())
        try:
            result = self.of(target)
        finally:
            self._inside.pop()
        if result == "none":
            raise Broken(f"it includes {target}, which has no SPF record")
        return result

    def _count(self, domain: str, term: str) -> None:
        self.lookups += 1
        if self.address and self.lookups > MAX_LOOKUPS:
            raise Broken(f"it needs more than {MAX_LOOKUPS} lookups")
        if self.lookups > 10 * MAX_LOOKUPS:
            raise Broken(f"{domain} has no end of lookups, at “{term}”")

    def _found(self, answers: list[str]) -> list[str]:
        self.voids += not answers
        if self.address and self.voids > MAX_VOIDS:
            raise Broken(f"more than {MAX_VOIDS} of its lookups have no answer")
        return answers


def record(dns: Dns, domain: str) -> str | None:
    """None: the domain has none. Errors: Broken (several), Unanswered, NoResolver."""
    found = [text for text in dns.txt(domain) if re.match(r"v=spf1(?:\s|$)", text, re.IGNORECASE)]
    if len(found) > 1:
        raise Broken(f"{domain} has {len(found)} SPF records, and may have one")
    if found and not re.fullmatch("[ -~]*", found[0]):
        raise Broken(f"{domain} has a character in it that is not of ASCII")
    return found[0] if found else None


def _terms(domain: str, text: str) -> tuple[list[re.Match[str]], str]:
    """The mechanisms, and the domain of `redirect`, or nothing. Errors: Broken, wherever in the record the fault is."""
    terms, modifiers = [], dict[str, str]()
    for word in text.split(" ")[1:]:
        if term := TERM.fullmatch(word):
            _in("", [f"0.0.0.0/{term[11] or 0}", f"::/{term[12] or 0}"], domain, word)  # lengths that are too long
            terms.append(term)
        elif modifier := MODIFIER.fullmatch(word):
            if modifier[1] and modifiers.setdefault(modifier[1].lower(), modifier[2]) != modifier[2]:
                raise Broken(f"{domain} has {modifier[1]} twice")
        elif word:
            raise Broken(f"{domain} has “{word}”, which is no term of SPF")
    return terms, modifiers.get("redirect", "")


def _in(address: str, networks: list[str], domain: str, term: str) -> bool:
    try:
        known = [ip_network(one, strict=False) for one in networks]
    except ValueError:
        raise Broken(f"{domain} has a “{term}” whose network is wrong") from None
    return bool(address) and any(ip_address(address) in one for one in known)
