"""What the DNS says about the domain that mails come from: bounces (MX), SPF, DKIM and DMARC."""

import re
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Generator, Sequence

from infra.doctor.finding import Finding, Findings, note, ok, problem
from infra.doctor.mail import spf
from infra.doctor.mail.lookup import Dns

MAILBOXES = {  # whose addresses only their own servers may send for, and those servers
    **dict.fromkeys(("gmail.com", "googlemail.com"), "gmail.com"),
    **dict.fromkeys(("outlook.com", "hotmail.com", "live.com", "msn.com"), "office365.com"),
    **dict.fromkeys(("yahoo.com", "ymail.com", "aol.com"), "yahoo.com"),
    **dict.fromkeys(("icloud.com", "me.com", "mac.com"), "me.com"),
}
USUAL_SELECTORS = (
    *(
        "default",
        "mail",
        "dkim",
        "sluice",
        "s1",
        "s2",
        "selector1",
        "selector2",
        "k1",
        "k2",
        "k3",
        "pm",
        "resend",
        "mx",
    ),
    *("google", "zoho", "fm1", "fm2", "fm3", "protonmail", "sig1", "brevo1", "brevo2", "smtp", "key1", "20230601"),
)
LEAST_BITS, GOOD_BITS = 1024, 2048
MOST_LABELS = 8  # of the tree walk of DMARC


def borrowed(domain: str, host: str) -> Findings:
    """A mailbox provider's domain, through somebody else's server."""
    if (own := MAILBOXES.get(domain)) and not host.endswith(own):
        yield problem(
            f"SLUICE_MAIL_FROM is an address of {domain}, and {host or 'your server'} is none of its servers.",
            "Gmail and others refuse such mails as forged. Send from a domain of your own (docs/mail.md).",
        )


def bounces(dns: Dns, domain: str) -> Findings:
    servers = dns.mx(domain)
    if servers == ["."]:
        yield problem(
            f"{domain} says that it takes no mail (MX 0 .), so a bounce has nowhere to go.",
            "Some servers refuse mails from such a domain. Name a mail server in its MX record.",
        )
    elif not servers and not dns.addresses(domain):
        yield problem(
            f"{domain} has neither MX nor address records, so a bounce has nowhere to go.",
            "Many servers refuse mails from such a domain. Add an MX record, such as the one of a mailbox provider.",
        )
    elif servers and not any(dns.addresses(one) for one in servers):
        yield problem(f"The MX records of {domain} name {', '.join(servers)}, which have no address.")
    elif not servers:
        yield note(f"{domain} has no MX record; bounces go to its address.", "An MX record makes that explicit.")
    else:
        yield ok(f"Bounces to {domain} go to {servers[0]}")


def allowed(dns: Dns, domain: str, addresses: Sequence[str], provider: str) -> Generator[Finding, None, bool]:
    """SPF of the domain in envelope and From. → whether it allows all addresses, so that it speaks for our mails."""
    try:
        walk = spf.Spf(dns)
        result = walk.of(domain)
        record = spf.record(dns, domain)
    except spf.Broken as exc:
        yield problem(f"The SPF record of {domain} is not valid: {exc}.", "Receivers then ignore it as a whole.")
        return False
    if record is None:
        text = f"{domain} has no SPF record."
        if provider:
            yield note(text, f"{provider} writes its own domain on the envelope, so DKIM decides.")
        else:
            yield problem(text, f"Add a TXT record at {domain}: v=spf1 ip4:YOUR.ADDRESS -all")
        return False
    yield from _limits(walk, domain)
    if result == "pass":
        yield problem(f"The SPF record of {domain} lets everybody send for it (+all).", "End it with ~all or -all.")
    elif not re.search(r"(?:\s[~-]all\b)|\sredirect=", record, re.IGNORECASE):
        yield note(f"The SPF record of {domain} does not say what other addresses are.", "End it with ~all or -all.")
    if walk.macros:
        yield note("SPF: a part with macros (%{…}) was left out, because its answer depends on each mail.")
    if walk.reverse:
        yield note("SPF: “ptr” is slow, and some receivers ignore it (RFC 7208). Name the addresses instead.")
    if not addresses:
        yield ok(f"{domain} has an SPF record: {record}")
        return False
    results = []
    for address in addresses:
        results.append((yield from _sends(dns, domain, address)))
    return all(results)


def _limits(walk: spf.Spf, domain: str) -> Findings:
    if walk.lookups > spf.MAX_LOOKUPS:
        yield problem(
            f"The SPF record of {domain} needs {walk.lookups} lookups; receivers stop at {spf.MAX_LOOKUPS}.",
            "Take out the includes of services that no longer send for you, or name their addresses.",
        )
    if walk.voids > spf.MAX_VOIDS:
        yield problem(
            f"The SPF record of {domain} has {walk.voids} lookups without an answer, and may have {spf.MAX_VOIDS}.",
            "Take out the names that no longer exist.",
        )


def _sends(dns: Dns, domain: str, address: str) -> Generator[Finding, None, bool]:
    try:
        result = spf.Spf(dns, address).of(domain)
    except spf.Broken as exc:
        yield problem(f"SPF of {domain} for {address}: an error, because {exc}.")
        return False
    if result == "pass":
        yield ok(f"SPF of {domain} allows {address}")
        return True
    yield problem(
        f"SPF of {domain} does not allow {address} (the result is {result}).",
        f"Add {'ip6' if ':' in address else 'ip4'}:{address} to its record, before “all”.",
    )
    return False


def signed(dns: Dns, domain: str, named: tuple[str, ...], usual: tuple[str, ...]) -> Generator[Finding, None, bool]:
    """DKIM. `named`: the selectors that must be there; without any, `usual` and known ones are tried. → found?"""
    found = False
    for selector in named or dict.fromkeys((*usual, *USUAL_SELECTORS)):
        if keys := dns.txt(f"{selector}._domainkey.{domain}"):
            found |= yield from _key(selector, domain, keys)
        elif named:
            yield problem(
                f"There is no DKIM key at {selector}._domainkey.{domain}.", "Publish the record of that name."
            )
    if not found and not named:
        if dns.exists(f"_domainkey.{domain}"):
            yield note(
                f"{domain} has DKIM keys, under none of the usual names.",
                "Name the selector that your provider shows: --selector NAME",
            )
            return True
        yield note(
            f"{domain} has no DKIM key.", "Then SPF alone speaks for a mail, and a forwarded one has nothing that does."
        )
    return found


def ours(dns: Dns, domain: str, selector: str, public: str) -> Findings:
    """Whether the DNS has the key that SLUICE_DKIM_SELECTOR signs with."""
    where = f"{selector}._domainkey.{domain}"
    if any(re.sub(r"\s", "", tags_of(one).get("p", "")) == public for one in dns.txt(where)):
        yield ok(f"Mails are signed with the key {where}")
    else:
        yield problem(f"{where} does not have the key that mails are signed with.", f"sluice keys dkim {selector}")


def _key(selector: str, domain: str, records: list[str]) -> Generator[Finding, None, bool]:
    where = f"The DKIM key {selector}._domainkey.{domain}"
    if len(records) > 1:
        yield problem(f"{where} has {len(records)} records, and may have one.")
        return False
    tags = tags_of(records[0])
    if tags.get("p") == "":
        yield problem(f"{where} is revoked (p= is empty).", "Sign with another key, or publish this one again.")
        return False
    try:
        bits = _bits(tags)
    except (ValueError, LookupError, TypeError) as exc:
        yield problem(f"{where} cannot be used: {exc}.", "Copy the record anew, in one piece.")
        return False
    if bits < LEAST_BITS:
        yield problem(f"{where} has {bits} bits.", f"Gmail wants at least {LEAST_BITS}; make one of {GOOD_BITS}.")
        return False
    if bits < GOOD_BITS:
        yield note(f"{where} has {bits} bits.", f"That is the least that Gmail takes; {GOOD_BITS} are recommended.")
    else:
        yield ok(f"{where} is valid ({bits} bits)")
    if "y" in tags.get("t", "").split(":"):
        yield note(f"{where} is marked as a test (t=y).", "Receivers may ignore its signatures. Take t=y out.")
    return True


def _bits(tags: dict[str, str]) -> int:
    """Errors: ValueError, whose text says what is wrong."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    if tags.get("v", "DKIM1") != "DKIM1" or "p" not in tags:
        raise ValueError("it is no record of DKIM (v=DKIM1; p=…)")
    if tags.get("k", "rsa") != "rsa":
        raise ValueError(f"it is of the kind {tags['k']}, which Gmail does not verify; use rsa")
    if "sha256" not in tags.get("h", "sha256").split(":"):
        raise ValueError(f"it allows {tags['h']} only, which receivers refuse; use sha256")
    if {"*", "email"}.isdisjoint(tags.get("s", "*").split(":")):
        raise ValueError("it is not for mail (s=)")
    try:
        key = load_der_public_key(b64decode(re.sub(r"\s", "", tags["p"]), validate=True))
    except (NoBase64, ValueError, UnsupportedAlgorithm):
        raise ValueError("its p= is no public key") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("its p= is no RSA key")
    return key.key_size


def policy(dns: Dns, domain: str, speaks: bool, provider: str) -> Findings:
    """DMARC. `speaks`: SPF or DKIM will pass for this domain."""
    if (found := _published(dns, domain)) is None:
        yield note(
            f"{domain} has no DMARC record.",
            "Google, Yahoo and Microsoft want one from who sends 5,000 mails a day, and trust others less without. "
            f"Begin with a TXT record at _dmarc.{domain}: v=DMARC1; p=none; rua=mailto:postmaster@{domain}",
        )
        return
    holder, records = found
    if len(records) > 1:
        yield problem(f"_dmarc.{holder} has {len(records)} records, so receivers use none.", "Leave one.")
        return
    tags = tags_of(records[0])
    wanted = (tags.get("p", "") if holder == domain else tags.get("sp") or tags.get("p", "")).lower()
    if wanted not in ("none", "quarantine", "reject"):
        yield problem(f"The DMARC record of {holder} has no valid p= ({wanted or 'it is missing'}).", "Write p=none, …")
        return
    if wanted == "none":
        yield note(
            f"DMARC of {domain} is p=none: nobody's forged mails in its name are stopped.",
            "That is right to begin with. With SPF and DKIM in order for some weeks, write p=quarantine.",
        )
    elif speaks:
        yield ok(f"DMARC of {domain} is p={wanted}")
    else:
        yield problem(
            f"DMARC of {domain} is p={wanted}, and neither SPF nor DKIM speaks for your mails: they are "
            f"{'refused' if wanted == 'reject' else 'put into the spam folder'}.",
            "Mend what is said above about SPF and DKIM.",
        )
    if tags.get("adkim", "r") == "s":
        yield note(f"DMARC asks that DKIM signs for exactly {domain} (adkim=s), not for a domain above or below it.")
    if tags.get("aspf", "r") == "s" and provider:
        yield note(
            f"DMARC asks for exactly {domain} on the envelope (aspf=s); {provider} writes a domain of its own there."
        )


def _published(dns: Dns, domain: str) -> tuple[str, list[str]] | None:
    """The domain whose DMARC record holds, and its records: the domain's own, else the one of the organisation. That is
    the highest with a record, where no domain says that others register below it (psd=y)."""
    labels = domain.split(".")
    found: tuple[str, list[str]] | None = None
    for start in (0, *range(max(1, len(labels) - MOST_LABELS + 1), len(labels))):
        name = ".".join(labels[start:])
        records = [text for text in dns.txt(f"_dmarc.{name}") if re.match(r"v=DMARC1\s*(?:;|$)", text)]
        if records and tags_of(records[0]).get("psd") == "y" and name != domain:
            return found
        found = (name, records) if records else found
        if records and (name == domain or tags_of(records[0]).get("psd") == "n"):
            return found
    return found


def tags_of(record: str) -> dict[str, str]:
    """`a=b; c=d`, as DKIM and DMARC write it."""
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}
