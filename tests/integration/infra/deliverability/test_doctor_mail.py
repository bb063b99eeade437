"""`sluice doctor mail` against a real DNS server and a real mail server on loopback."""

import base64
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.cli import main
from infra.doctor.mail import lookup, server
from infra.doctor.mail.sending import meaning
from sluice.adapters.mails import smtp as mail_smtp
from sluice.adapters.mails.signing import key_file, make_key, public_key
from tests.integration.accounts.world import forget_everything
from tests.integration.infra.deliverability.dns_server import Zone, dns_server, lookup_seconds
from tests.ports import free_port
from tests.tls import make_certificate
from tests.unit.mails.smtp_server import Behaviour, smtp_server

ADDRESS = "9.9.9.20"  # of the internet, so not one of documentation's
REVERSE = "20.9.9.9.in-addr.arpa"


SMALL = rsa.RSAPublicNumbers(65537, 2**1015 + 1).public_key()  # cryptography makes no key as small as this


def dkim(bits: int = 2048, **tags: str) -> str:
    """A TXT record's data, in strings of 255 bytes."""
    public = rsa.generate_private_key(65537, bits).public_key() if bits >= 1024 else SMALL
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    key = base64.b64encode(der).decode()
    record = "; ".join(f"{name}={value}" for name, value in {"v": "DKIM1", "k": "rsa", "p": key, **tags}.items())
    return " ".join(f'"{record[at : at + 255]}"' for at in range(0, len(record), 255))


KEY = dkim()


def in_order() -> Zone:
    return Zone(
        [
            "example.org MX 10 mail.example.org.",
            "mail.example.org A " + ADDRESS,
            f"{REVERSE} PTR mail.example.org.",
            f'example.org TXT "v=spf1 ip4:{ADDRESS} -all"',
            f"mail._domainkey.example.org TXT {KEY}",
            '_dmarc.example.org TXT "v=DMARC1; p=quarantine; rua=mailto:ann@example.org"',
        ]
    )


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Result]]:
    """Runs the command: a zone, arguments, variables."""
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SLUICE_MAIL_FROM", "Sluice <no-reply@example.org>")

    def run(zone: Zone, *arguments: str, **variables: str) -> Result:
        monkeypatch.setattr(lookup, "LOOKUP_SECONDS", lookup_seconds(zone))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        forget_everything()
        with dns_server(zone) as at:
            done = CliRunner().invoke(main, ["doctor", "mail", "--dns", at, *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == ("BAD" in done.output), done.output
        return done

    yield run
    forget_everything()


def test_nothing_is_wrong_where_all_is_in_order(doctor: Callable[..., Result]) -> None:
    done = doctor(in_order(), "--address", ADDRESS)
    assert done.exit_code == 0 and "Nothing is wrong." in done.output
    for line in (
        "Bounces to example.org go to mail.example.org",
        f"{ADDRESS} is mail.example.org, and the reverse",
        f"{ADDRESS} is on no list of Spamhaus",
        f"SPF of example.org allows {ADDRESS}",
        "mail._domainkey.example.org is valid (2048 bits)",
        "DMARC of example.org is p=quarantine",
    ):
        assert line in done.output


def without(zone: Zone, *beginnings: str) -> Zone:
    return Zone([line for line in zone.records if not line.startswith(beginnings)])


SPF, DKIM, DMARC = "example.org TXT", "mail._domainkey", "_dmarc"
CHAIN = [f'example.org TXT "v=spf1 {" ".join(f"include:s{n}.example" for n in range(11))} -all"']
CHAIN += [f's{n}.example TXT "v=spf1 ip4:192.0.2.{n} -all"' for n in range(11)]
WRONG = {
    # SPF
    "spf: none": (SPF, [], "example.org has no SPF record."),
    "spf: two": (SPF, [f'{SPF} "v=spf1 -all"', f'{SPF} "v=spf1 a -all"'], "has 2 SPF records, and may have one"),
    "spf: another address": (SPF, [f'{SPF} "v=spf1 ip4:192.0.2.1 ~all"'], f"does not allow {ADDRESS}"),
    "spf: everybody": (SPF, [f'{SPF} "v=spf1 +all"'], "lets everybody send for it (+all)"),
    "spf: everybody, included": (
        SPF, [f'{SPF} "v=spf1 include:x.example -all"', 'x.example TXT "v=spf1 all"'], "lets everybody send for it",
    ),
    "spf: eleven lookups": (SPF, CHAIN, "needs 11 lookups; receivers stop at 10"),
    "spf: three lookups without an answer": (
        SPF, [f'{SPF} "v=spf1 a:a.example a:b.example a:c.example ip4:{ADDRESS} -all"'], "3 lookups without an answer",
    ),
    "spf: an include that is none": (SPF, [f'{SPF} "v=spf1 include:x.example -all"'], "which has no SPF record"),
    "spf: a circle": (SPF, [f'{SPF} "v=spf1 include:example.org -all"'], "includes itself"),
    "spf: a word that is none": (SPF, [f'{SPF} "v=spf1 ipv4:{ADDRESS} -all"'], "which is no term of SPF"),
    "spf: typographic quotes": (SPF, [f'{SPF} "v=spf1 include:“x.example” -all"'], "not of ASCII"),
    # DKIM
    "dkim: revoked": (DKIM, ['mail._domainkey.example.org TXT "v=DKIM1; p="'], "is revoked (p= is empty)"),
    "dkim: small": (DKIM, [f"mail._domainkey.example.org TXT {dkim(1016)}"], "has 1016 bits"),
    "dkim: garbage": (DKIM, ['mail._domainkey.example.org TXT "v=DKIM1; p=MIIB"'], "its p= is no public key"),
    "dkim: sha1": (DKIM, [f"mail._domainkey.example.org TXT {dkim(h='sha1')}"], "allows sha1 only"),
    "dkim: ed25519": (DKIM, ['mail._domainkey.example.org TXT "k=ed25519; p=aaaa"'], "which Gmail does not verify"),
    "dkim: not for mail": (DKIM, [f"mail._domainkey.example.org TXT {dkim(s='other')}"], "it is not for mail"),
    "dkim: two": (DKIM, [f"mail._domainkey.example.org TXT {one}" for one in (KEY, '"p="')], "has 2 records"),
    # DMARC
    "dmarc: two": (DMARC, [f'_dmarc.example.org TXT "v=DMARC1; p={p}"' for p in ("none", "reject")], "has 2 records"),
    "dmarc: no policy": (DMARC, ['_dmarc.example.org TXT "v=DMARC1; p=monitor"'], "has no valid p= (monitor)"),
    # where bounces go
    "mx: none": ("example.org MX", [], "has neither MX nor address records"),
    "mx: null": ("example.org MX", ["example.org MX 0 ."], "says that it takes no mail"),
    "mx: of no address": ("example.org MX", ["example.org MX 5 gone.example.org."], "which have no address"),
    # the address
    "ptr: none": (REVERSE, [], "has no name (PTR)"),
    "ptr: not confirmed": (REVERSE, [f"{REVERSE} PTR other.example.net."], "which does not lead back to it"),
    "listed": ("x", ["20.9.9.9.zen.spamhaus.org A 127.0.0.2"], "is on Spamhaus' blocklist (127.0.0.2)"),
    "of a home": ("x", ["20.9.9.9.zen.spamhaus.org A 127.0.0.10"], "whose provider lets no mail servers run"),
}  # fmt: skip


@pytest.mark.parametrize(("gone", "added", "said"), WRONG.values(), ids=WRONG)
def test_what_receivers_object_to_is_a_problem(
    doctor: Callable[..., Result], gone: str, added: list[str], said: str
) -> None:
    zone = without(in_order(), gone)
    zone.records += added
    done = doctor(zone, "--address", ADDRESS)
    assert done.exit_code == 1 and said in done.output, done.output


NOTED = {
    "spf: no end": (SPF, [f'{SPF} "v=spf1 ip4:{ADDRESS}"'], "does not say what other addresses are"),
    "spf: ptr": (SPF, [f'{SPF} "v=spf1 ptr:example.org -all"'], "“ptr” is slow"),
    "spf: macros": (SPF, [f'{SPF} "v=spf1 exists:%{{i}}.x.example ip4:{ADDRESS} -all"'], "a part with macros"),
    "dkim: none": (DKIM, [], "example.org has no DKIM key."),
    "dkim: under another name": (DKIM, [f"x9._domainkey.example.org TXT {KEY}"], "under none of the usual names"),
    "dkim: 1024 bits": (DKIM, [f"mail._domainkey.example.org TXT {dkim(1024)}"], "the least that Gmail takes"),
    "dkim: a test": (DKIM, [f"mail._domainkey.example.org TXT {dkim(t='y')}"], "marked as a test (t=y)"),
    "dmarc: none": (DMARC, [], "example.org has no DMARC record."),
    "dmarc: p=none": (DMARC, ['_dmarc.example.org TXT "v=DMARC1; p=none"'], "is p=none: nobody's forged mails"),
    "dmarc: strict": (DMARC, ['_dmarc.example.org TXT "v=DMARC1;p=reject;adkim=s"'], "exactly example.org (adkim=s)"),
    "a name like a home's": (
        REVERSE, [f"{REVERSE} PTR 9-9-9-20.example.net.", f"9-9-9-20.example.net A {ADDRESS}"], "of a home connection",
    ),
    "a dynamic name": (
        REVERSE, [f"{REVERSE} PTR x.dyn.example.net.", f"x.dyn.example.net A {ADDRESS}"], "of a home connection",
    ),
    "an open resolver": ("x", ["20.9.9.9.zen.spamhaus.org A 127.255.255.254"], "does not answer your DNS server"),
}  # fmt: skip


@pytest.mark.parametrize(("gone", "added", "said"), NOTED.values(), ids=NOTED)
def test_what_they_like_less_is_a_note(doctor: Callable[..., Result], gone: str, added: list[str], said: str) -> None:
    zone = without(in_order(), gone)
    zone.records += added
    done = doctor(zone, "--address", ADDRESS)
    assert done.exit_code == 0 and said in done.output, done.output


def test_with_a_provider_its_own_envelope_counts(doctor: Callable[..., Result]) -> None:
    done = doctor(without(in_order(), SPF), SLUICE_MAIL="ses")
    assert done.exit_code == 0 and "ses writes its own domain on the envelope, so DKIM decides." in done.output


def test_a_named_selector_must_be_there(doctor: Callable[..., Result]) -> None:
    zone = in_order()
    assert doctor(zone, "--selector", "mail").exit_code == 0
    done = doctor(zone, "--selector", "mail", "--selector", "gone")
    assert done.exit_code == 1 and "no DKIM key at gone._domainkey.example.org" in done.output


def test_the_own_key_is_compared_with_the_one_in_the_dns(doctor: Callable[..., Result], tmp_path: Path) -> None:
    own = {"SLUICE_DKIM_SELECTOR": "s1"}
    zone = in_order()
    with smtp_server(Behaviour(greeted_as="mail.example.org")) as peer:
        own["SLUICE_MAIL"] = f"smtp://127.0.0.1:{peer.port}"
        assert "SLUICE_DKIM_SELECTOR=s1: No such file" in doctor(zone, **own).output
        make_key(key_file(tmp_path, "s1"))
        assert "no DKIM key at s1._domainkey.example.org" in doctor(zone, **own).output
        zone.records.append(f"s1._domainkey.example.org TXT {KEY}")
        assert "does not have the key that mails are signed with" in doctor(zone, **own).output
        public = public_key(key_file(tmp_path, "s1"))
        zone.records[-1] = f's1._domainkey.example.org TXT "v=DKIM1; p={public[:200]}" "{public[200:]}"'
        done = doctor(zone, **own)
    assert done.exit_code == 0 and "Mails are signed with the key s1._domainkey.example.org" in done.output


def test_a_key_behind_a_cname_is_found(doctor: Callable[..., Result]) -> None:
    zone = without(in_order(), DKIM)
    zone.records += ["abc._domainkey.example.org CNAME abc.dkim.example.net.", f"abc.dkim.example.net TXT {KEY}"]
    assert "abc._domainkey.example.org is valid" in doctor(zone, "--selector", "abc").output


def test_a_strict_policy_with_nothing_that_speaks_for_the_mails_is_a_problem(doctor: Callable[..., Result]) -> None:
    zone = without(in_order(), SPF, DKIM, DMARC)
    zone.records.append('_dmarc.example.org TXT "v=DMARC1; p=reject"')
    done = doctor(zone, "--address", ADDRESS)
    assert "neither SPF nor DKIM speaks for your mails: they are refused" in done.output


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("p=reject; sp=none", "news.example.org is p=none"),
        ("p=quarantine", "DMARC of news.example.org is p=quarantine"),
    ],
)
def test_a_subdomain_has_the_policy_of_its_organisation(doctor: Callable[..., Result], record: str, said: str) -> None:
    zone = without(in_order(), DMARC)
    zone.records += [f'_dmarc.example.org TXT "v=DMARC1; {record}"', '_dmarc.org TXT "v=DMARC1; p=reject; psd=y"']
    zone.records += [f"news.example.org A {ADDRESS}", 'news.example.org TXT "v=spf1 a -all"']
    zone.records += [f"mail._domainkey.news.example.org TXT {KEY}"]
    done = doctor(zone, "--address", ADDRESS, SLUICE_MAIL_FROM="no-reply@news.example.org")
    assert said in done.output, done.output


# --- a DNS that fails


def test_a_dead_resolver_is_one_finding(doctor: Callable[..., Result]) -> None:
    zone = Zone(silent={"*"})
    done = doctor(zone, "--address", ADDRESS)
    assert done.exit_code == 1 and done.output.count("BAD") == 1
    assert "does not answer within" in done.output and len(set(zone.asked)) == 1


@pytest.mark.parametrize("kind", ["silent", "failing"])
def test_a_lookup_that_fails_leaves_the_others(doctor: Callable[..., Result], kind: str) -> None:
    zone = in_order()
    setattr(zone, kind, {"_dmarc.example.org"})
    done = doctor(zone, "--address", ADDRESS)
    assert "A lookup failed: TXT of _dmarc.example.org" in done.output and done.output.count("BAD") == 1


def test_all_lookups_together_have_a_deadline(doctor: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "ALL_SECONDS", 0.0)
    assert "The lookups took more than" in doctor(in_order()).output


def test_a_wrong_dns_server_is_named(doctor: Callable[..., Result]) -> None:
    assert "nowhere is not the address of a DNS server" in doctor(in_order(), "--dns", "nowhere").output


def test_an_answer_too_long_for_udp_is_fetched_by_tcp(doctor: Callable[..., Result]) -> None:
    zone = without(in_order(), SPF)
    networks = " ".join(f"ip4:192.0.2.{n}" for n in range(60))
    text = f"v=spf1 {networks} ip4:{ADDRESS} -all"
    zone.records.append(f"{SPF} " + " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200)))
    assert f"SPF of example.org allows {ADDRESS}" in doctor(zone, "--address", ADDRESS).output and zone.by_tcp


def test_a_domain_that_does_not_exist_ends_the_checks(doctor: Callable[..., Result]) -> None:
    done = doctor(Zone())
    assert "The domain example.org of SLUICE_MAIL_FROM does not exist." in done.output and "SPF" not in done.output


@pytest.mark.parametrize("sender", ["", "Sluice", "no-reply@localhost", "a@b@c", "x\nBcc: b@x.org <a@x.org>"])
def test_a_sender_without_a_domain_is_named(doctor: Callable[..., Result], sender: str) -> None:
    assert "SLUICE_MAIL_FROM has no address of yours" in doctor(in_order(), SLUICE_MAIL_FROM=sender).output


def test_a_wrong_setting_or_argument_is_named(doctor: Callable[..., Result]) -> None:
    assert "mail.example.org is no IP address." in doctor(in_order(), "--address", "mail.example.org").output
    assert "SLUICE_DKIM_SELECTOR" in doctor(in_order(), SLUICE_DKIM_SELECTOR="../s1").output


def test_a_mailbox_providers_address_is_not_ours_to_use(doctor: Callable[..., Result]) -> None:
    zone = Zone(["gmail.com MX 5 mx.gmail.com.", "mx.gmail.com A 192.0.2.1"])
    assert "Gmail and others refuse such mails as forged" in doctor(zone, SLUICE_MAIL_FROM="ann@gmail.com").output


# --- the mail server


@pytest.mark.parametrize(
    ("name", "days", "trusted", "said"),
    [
        ("localhost", 90, True, "answers, by TLSv1.3"),
        ("localhost", 3.5, True, "The certificate of localhost ends in 3 days."),
        ("localhost", -1, True, "The certificate of localhost has expired."),
        ("mail.example.org", 90, True, "The certificate of localhost is for another name."),
        ("localhost", 90, False, "signed by nobody whom this machine trusts"),
    ],
)
def test_a_certificate_is_judged(
    doctor: Callable[..., Result], tmp_path: Path, name: str, days: float, trusted: bool, said: str
) -> None:
    file = make_certificate(tmp_path, [name], days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    trust = {"SSL_CERT_FILE": str(file)} if trusted else {}
    with smtp_server(Behaviour(certificate=context, greeted_as="mail.example.org")) as peer:
        done = doctor(in_order(), SLUICE_MAIL=f"smtp://localhost:{peer.port}", **trust)
    assert said in done.output, done.output


def test_a_server_elsewhere_without_encryption_is_a_problem(
    doctor: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "is_loopback", lambda host: False)
    with smtp_server() as peer:
        done = doctor(in_order(), SLUICE_MAIL=f"smtp://127.0.0.1:{peer.port}")
    assert "offers no encryption (STARTTLS)" in done.output


def test_a_wrong_password_is_said_and_not_shown(doctor: Callable[..., Result]) -> None:
    with smtp_server(Behaviour(user=("post", "right"))) as peer:
        done = doctor(in_order(), SLUICE_MAIL=f"smtp://post:hunter2@127.0.0.1:{peer.port}")
    assert "refuses the login: 535 no" in done.output and "hunter2" not in done.output


def test_a_server_on_this_machine_sends_from_the_address_of_its_name(doctor: Callable[..., Result]) -> None:
    with smtp_server(Behaviour(greeted_as="mail.example.org")) as peer:
        done = doctor(in_order(), SLUICE_MAIL=f"smtp://127.0.0.1:{peer.port}")
    assert done.exit_code == 0 and f"SPF of example.org allows {ADDRESS}" in done.output


def test_a_server_on_this_machine_without_a_name_is_a_problem(doctor: Callable[..., Result]) -> None:
    with smtp_server() as peer:
        done = doctor(in_order(), SLUICE_MAIL=f"smtp://127.0.0.1:{peer.port}")
    assert "calls itself test, which has no address of the internet" in done.output


@pytest.mark.parametrize("silent_at", ["connect", "ehlo"])
def test_a_silent_server_is_a_finding(
    doctor: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, silent_at: str
) -> None:
    monkeypatch.setattr(mail_smtp, "TIMEOUT_SECONDS", 0.2)
    with smtp_server(Behaviour(silent_at=silent_at)) as peer:
        done = doctor(in_order(), SLUICE_MAIL=f"smtp://127.0.0.1:{peer.port}")
    assert f"The mail server 127.0.0.1:{peer.port}: " in done.output and "BAD" in done.output


def test_a_server_that_is_not_there_and_a_wrong_setting_are_findings(doctor: Callable[..., Result]) -> None:
    assert "Connection refused" in doctor(in_order(), SLUICE_MAIL=f"smtp://127.0.0.1:{free_port()}").output
    done = doctor(in_order(), SLUICE_MAIL="postmark://hunter2@eu")
    assert "SLUICE_MAIL is wrong: it is written as postmark://TOKEN" in done.output and "hunter2" not in done.output


# --- the test mail


def test_the_test_mail_is_sent_as_every_other(doctor: Callable[..., Result]) -> None:
    zone = in_order()
    zone.records += ["example.net MX 5 127.0.0.1."]
    with smtp_server(Behaviour(greeted_as="mail.example.org")) as peer:
        done = doctor(zone, "--to", "ann@example.net", SLUICE_MAIL=f"smtp://127.0.0.1:{peer.port}")
    (mail,) = peer.received
    assert mail.recipients == ["<ann@example.net>"] and mail.message["X-Sluice-Kind"] == "test"
    assert "The test mail to ann@example.net was taken by the mail server" in done.output
    assert "Show original" in done.output


def test_a_blocked_port_25_is_found(doctor: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "RECEIVERS_PORT", free_port())
    zone = in_order()
    zone.records += ["example.net MX 5 127.0.0.1."]
    with smtp_server(Behaviour(greeted_as="mail.example.org")) as peer:
        address = f"smtp://127.0.0.1:{peer.port}"
        done = doctor(zone, "--to", "ann@example.net", SLUICE_MAIL=address)
        assert "Providers of homes and of many clouds block port 25" in done.output
        monkeypatch.setattr(server, "RECEIVERS_PORT", peer.port)
        assert "of 127.0.0.1 can be reached from this machine" in doctor(zone, "--to", "ann@example.net").output


REFUSALS = {
    "550-5.7.26 This mail has been blocked because the sender is unauthenticated.": "wants SPF or DKIM",
    "550-5.7.25 The IP address sending this message does not have a PTR record": "wants a name (PTR)",
    "554 5.7.1 Service unavailable; blocked using zen.spamhaus.org": "is on a blocklist",
    "554 Message rejected: Email address is not verified.": "Verify the domain",
    "554 5.7.1 <ann@example.net>: Relay access denied": "not logged in",
    "451 4.7.1 Greylisting in action, please come back later": "try again later",
    "550 5.1.1 The email account that you tried to reach does not exist": "This mailbox does not exist.",
    "530 5.7.0 Must issue a STARTTLS command first": "wants TLS",
    "550 5.7.1 Our system has detected that this message is likely spam": "takes the mail for spam",
}


@pytest.mark.parametrize(("answer", "means"), REFUSALS.items())
def test_a_refusal_is_explained(doctor: Callable[..., Result], answer: str, means: str) -> None:
    with smtp_server(Behaviour({"rcpt": answer.replace("550-", "550 ")})) as peer:
        done = doctor(in_order(), "--to", "ann@example.net", SLUICE_MAIL=f"smtp://127.0.0.1:{peer.port}")
    assert f"The test mail was not taken: {answer[:3]}" in done.output and means in done.output, done.output
    assert means in meaning(answer)


@pytest.mark.parametrize("to", ["ann", "ann@", "ann@example.net\nBcc: bob@example.net", "@example.net"])
def test_no_address_gets_no_test_mail(doctor: Callable[..., Result], to: str) -> None:
    with smtp_server() as peer:
        done = doctor(in_order(), "--to", to, SLUICE_MAIL=f"smtp://127.0.0.1:{peer.port}")
    assert "is no address that a mail can be sent to" in done.output and not peer.received


def test_with_the_outbox_nothing_goes_out(doctor: Callable[..., Result], tmp_path: Path) -> None:
    done = doctor(in_order(), "--to", "ann@example.net", SLUICE_MAIL="outbox")
    assert "lies in the outbox" in done.output and list(tmp_path.glob("outbox/*/*.json"))
