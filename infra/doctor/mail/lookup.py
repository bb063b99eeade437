"""Lookups in the DNS, each with a deadline. An answer is asked for once."""

import time
from collections.abc import Iterator
from typing import Any

from dns.exception import DNSException, Timeout
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT
from dns.resolver import NXDOMAIN, NoAnswer, NoResolverConfiguration, Resolver
from dns.reversename import from_address

LOOKUP_SECONDS = 5.0
ALL_SECONDS = 60.0


class Unanswered(Exception):
    """This lookup failed; the message says how."""


class NoResolver(Exception):
    """No lookup will succeed; the message says why."""


class Dns:
    """`server`: `ADDRESS` or `ADDRESS:PORT` of the server to ask; empty: as this machine does. A name that does not
    exist has no records. Errors of every lookup: Unanswered, NoResolver."""

    def __init__(self, server: str = "") -> None:
        """Errors: NoResolver."""
        try:
            self._resolver = Resolver(configure=not server)
            if server:
                address, colon, port = server.rpartition(":") if server.count(":") == 1 else (server, "", "")
                self._resolver.nameservers = [address]
                self._resolver.port = int(port) if colon else 53
        except NoResolverConfiguration:
            raise NoResolver("This machine knows no DNS server (/etc/resolv.conf).") from None
        except ValueError:
            raise NoResolver(
                f"{server} is not the address of a DNS server, such as 1.1.1.1 or 127.0.0.1:5353."
            ) from None
        self._known: dict[tuple[str, str], list[Any] | Unanswered | None] = {}
        self._answered = False
        self._until = time.monotonic() + ALL_SECONDS

    def exists(self, name: str) -> bool:
        """Whether there is anything at this name or below it."""
        return self._ask(name, "TXT") is not None

    def txt(self, name: str) -> list[str]:
        return [b"".join(one.strings).decode("utf-8", "replace") for one in self._records(name, "TXT", TXT)]

    def mx(self, name: str) -> list[str]:
        """The servers that take mails, the preferred first; `.` where the domain says that it takes none."""
        found = sorted(self._records(name, "MX", MX), key=lambda one: one.preference)
        return [one.exchange.to_text().rstrip(".") or "." for one in found]

    def addresses(self, name: str, kinds: tuple[str, ...] = ("A", "AAAA")) -> list[str]:
        return [one.to_text() for kind in kinds for one in self._ask(name, kind) or []]

    def names_of(self, address: str) -> list[str]:
        """The reverse lookup of an address."""
        return [one.to_text().rstrip(".").lower() for one in self._ask(from_address(address).to_text(), "PTR") or []]

    def _records(self, name: str, kind: str, wanted: type[Any]) -> Iterator[Any]:
        return (one for one in self._ask(name, kind) or [] if isinstance(one, wanted))

    def _ask(self, name: str, kind: str) -> list[Any] | None:
        """None: the name does not exist."""
        key = (name.lower().rstrip("."), kind)
        if key not in self._known:
            self._known[key] = self._fetch(*key)
        known = self._known[key]
        if isinstance(known, Unanswered):
            raise known
        return known

    def _fetch(self, name: str, kind: str) -> list[Any] | Unanswered | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise NoResolver(f"The lookups took more than {ALL_SECONDS:.0f} s; the rest was not asked.")
        try:
            found = self._resolver.resolve(name + ".", kind, lifetime=min(LOOKUP_SECONDS, left), search=False)
            answer: list[Any] | None = list(found)
        except NXDOMAIN:
            answer = None
        except NoAnswer:
            answer = []
        except Timeout:
            if not self._answered:
                asked = ", ".join(str(one) for one in self._resolver.nameservers)
                raise NoResolver(f"The DNS server ({asked}) does not answer within {LOOKUP_SECONDS:.0f} s.") from None
            return Unanswered(f"{kind} of {name}: no answer within {LOOKUP_SECONDS:.0f} s")
        except (DNSException, OSError, UnicodeError) as exc:  # SERVFAIL, and names that cannot be one
            return Unanswered(f"{kind} of {name}: {str(exc).splitlines()[0]}")
        self._answered = True
        return answer
