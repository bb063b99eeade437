"""What `sluice doctor mail` looks at, in the order in which it says so."""

from collections.abc import Generator
from ipaddress import ip_address
from typing import TypeVar

from infra.doctor.finding import Finding, Findings, note, ok, problem
from infra.doctor.mail import address, domain, sending, server
from infra.doctor.mail.lookup import Dns, NoResolver, Unanswered
from infra.local.settings_check import problems
from sluice import settings
from sluice.adapters.mails.message import sender_of
from sluice.adapters.mails.signing import key_file, public_key
from sluice.adapters.mails.smtp import is_loopback
from sluice.domain.accounts.account import parse_address
from sluice.domain.errors import ValidationFailed
from sluice.domain.mails.servers import PROVIDERS, SmtpServer, parse_mail_server

T = TypeVar("T")
Strings = tuple[str, ...]


def mail(to: str, selectors: Strings, addresses: Strings, dns_server: str) -> Findings:
    """`to`: who gets a test mail, or empty. `addresses`: that mails leave from. `dns_server`: which one is asked."""
    wrong = problems() + [f"{one} is no IP address." for one in addresses if not _is_address(one)]
    if wrong:
        yield from map(problem, wrong)
        return
    wanted = settings.mailer()
    try:
        sent_from = parse_address(sender_of(wanted.mail_from).addr_spec).key.rpartition("@")[2]
    except (ValidationFailed, ValueError):
        yield problem(
            f"SLUICE_MAIL_FROM has no address of yours ({wanted.mail_from!r}).", "Write Sluice <no-reply@YOUR.DOMAIN>"
        )
        return
    try:
        known = parse_mail_server(wanted.mail) if wanted.mail not in ("outbox", "ses") else None
    except ValueError as exc:
        yield problem(f"SLUICE_MAIL is wrong: {exc}.")
        return
    name = ""
    if wanted.mail == "outbox":
        yield note("Mails stay on this machine (SLUICE_MAIL=outbox).", "docs/mail.md shows the ways to send them.")
    elif known is not None:
        name = yield from server.answers(known)
    try:
        yield from _domain(Dns(dns_server), sent_from, known, name, to, selectors, addresses)
    except NoResolver as exc:
        yield problem(str(exc), "Nothing more can be said about the domain. Ask another server: --dns 1.1.1.1")
    if to:
        yield from sending.send(to, wanted.mail == "outbox")


def _domain(
    dns: Dns, sent_from: str, known: SmtpServer | None, name: str, to: str, selectors: Strings, addresses: Strings
) -> Findings:
    here = known is not None and is_loopback(known.host)
    provider = known.provider if known else "ses" if settings.mailer().mail == "ses" else ""
    yield from domain.borrowed(sent_from, known.host if known else "")
    if not (yield from _answered(_exists(dns, sent_from), False)):
        return
    if here and not addresses:
        addresses = yield from _answered(_own(dns, name), ())
    elif known is not None and not provider and not addresses:
        yield note(
            f"Which address {known.host} sends from is not known, so its reverse DNS was not looked at.",
            "The lines “Received:” of a mail that arrived show it. Name it: --address ADDRESS",
        )
    yield from _answered(domain.bounces(dns, sent_from), None)
    for one in addresses:
        yield from _answered(address.leaves_from(dns, one), None)
    passes = yield from _answered(domain.allowed(dns, sent_from, addresses, provider), False)
    usual = PROVIDERS[provider].selectors if provider else ()
    own = settings.mailer().dkim_selector if known else ""
    signed = yield from _answered(domain.signed(dns, sent_from, (*selectors, *filter(None, [own])), usual), False)
    if own:
        yield from _answered(_signs(dns, sent_from, own), None)
    yield from _answered(domain.policy(dns, sent_from, passes or signed, provider), None)
    if here and to:
        yield from _answered(server.reaches(dns, to.rpartition("@")[2]), None)


def _signs(dns: Dns, sent_from: str, selector: str) -> Findings:
    file = key_file(settings.common().data_dir, selector)
    try:
        public = public_key(file)
    except (OSError, ValueError) as exc:
        yield problem(
            f"SLUICE_DKIM_SELECTOR={selector}: {server.reason(exc)} ({file}).", f"sluice keys dkim {selector}"
        )
    else:
        yield from domain.ours(dns, sent_from, selector, public)


def _answered(check: Generator[Finding, None, T], otherwise: T) -> Generator[Finding, None, T]:
    try:
        return (yield from check)
    except Unanswered as exc:
        yield problem(
            f"A lookup failed: {exc}.", "Receivers ask the same, and put the mail off until they get an answer."
        )
        return otherwise


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _exists(dns: Dns, sent_from: str) -> Generator[Finding, None, bool]:
    if dns.exists(sent_from):
        yield ok(f"Mails come from {sent_from}")
        return True
    yield problem(f"The domain {sent_from} of SLUICE_MAIL_FROM does not exist.", "Name a domain that you have.")
    return False


def _own(dns: Dns, name: str) -> Generator[Finding, None, Strings]:
    """The addresses of a mail server on this machine, as it calls itself."""
    found = [one for one in dns.addresses(name) if ip_address(one).is_global] if "." in name.strip("[].") else []
    if not found:
        yield problem(
            f"The mail server on this machine calls itself {name or 'nothing'}, which has no address of the internet.",
            "Give it the name of its address (Postfix: myhostname), because receivers look it up. "
            "Or name the address: --address ADDRESS",
        )
    return tuple(found)
