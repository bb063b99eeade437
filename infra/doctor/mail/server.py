"""The mail server of SLUICE_MAIL: whether it answers, encrypts and knows us."""

import ssl
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from smtplib import SMTP, SMTPAuthenticationError, SMTPException
from socket import create_connection

from infra.doctor.finding import Finding, Findings, note, ok, problem
from infra.doctor.mail.lookup import Dns
from sluice.adapters.mails.smtp import SmtpMail, is_loopback
from sluice.domain.mails.servers import SmtpServer

SOON = timedelta(days=14)
RECEIVERS_PORT = 25
CONNECT_SECONDS = 5.0
EXPIRED, OTHER_NAME, SELF_SIGNED, UNKNOWN_ISSUER = 10, (62, 64), (18, 19), (20, 21)  # X509_V_ERR_… of OpenSSL
BLOCKED = (
    "Providers of homes and of many clouds block port 25. Use the ports 587 or 465 of a mail provider (docs/mail.md)."
)


def answers(server: SmtpServer) -> Generator[Finding, None, str]:
    """→ the name that the server calls itself; empty if it did not say."""
    where = f"{server.host}:{server.port}"
    try:
        with SmtpMail(server).connection() as smtp:
            yield from _encrypts(smtp, server, where)
            return (smtp.ehlo_resp or b"").decode("ascii", "replace").split("\n")[0].split(" ")[0]
    except ssl.SSLCertVerificationError as exc:
        yield _certificate(exc, server.host)
    except ssl.SSLError as exc:
        yield problem(f"The mail server {where} does not speak TLS as we do: {exc.reason}.", _tls_port(server))
    except SMTPAuthenticationError as exc:
        yield problem(
            f"The mail server {where} refuses the login: {exc.smtp_code} {said(exc.smtp_error)}",
            "Look at user and password in SLUICE_MAIL; a special character is written as %XX.",
        )
    except (SMTPException, OSError, UnicodeError) as exc:
        yield problem(f"The mail server {where}: {reason(exc)}.", BLOCKED if server.port == RECEIVERS_PORT else "")
    return ""


def _encrypts(smtp: SMTP, server: SmtpServer, where: str) -> Findings:
    if isinstance(smtp.sock, ssl.SSLSocket):
        until = ssl.cert_time_to_seconds(str((smtp.sock.getpeercert() or {})["notAfter"]))
        left = datetime.fromtimestamp(until, UTC) - datetime.now(UTC)
        if left < SOON:
            yield note(f"The certificate of {server.host} ends in {left.days} days.", "Renew it.")
        yield ok(f"The mail server {where} answers, by {smtp.sock.version()}")
    elif is_loopback(server.host):
        yield ok(f"The mail server {where} answers; it is on this machine, so TLS is not needed")
    else:
        yield problem(
            f"The mail server {where} offers no encryption (STARTTLS): mails and their links can be read on the way.",
            "Use its port 587 or 465, or another server. Gmail wants TLS.",
        )


def _certificate(exc: ssl.SSLCertVerificationError, host: str) -> Finding:
    code = exc.verify_code
    if code == EXPIRED:
        return problem(f"The certificate of {host} has expired.", "Renew it; until then no mail is sent.")
    if code in OTHER_NAME:
        return problem(
            f"The certificate of {host} is for another name.", "Write the certificate's name in SLUICE_MAIL."
        )
    if code in SELF_SIGNED or code in UNKNOWN_ISSUER:
        return problem(
            f"The certificate of {host} is signed by nobody whom this machine trusts.",
            "Get one from an authority such as Let's Encrypt, or name its file in SSL_CERT_FILE.",
        )
    return problem(f"The certificate of {host} is refused: {exc.verify_message}.")


def _tls_port(server: SmtpServer) -> str:
    return "Port 587 needs smtp://, port 465 smtps://." if server.tls else ""


def reaches(dns: Dns, domain: str) -> Findings:
    """Whether a mail server on this machine can reach the one that takes the domain's mail."""
    servers = dns.mx(domain) or [domain]
    faults = []
    for host in servers[:2]:
        try:
            create_connection((host, RECEIVERS_PORT), CONNECT_SECONDS).close()
        except (OSError, UnicodeError) as exc:
            faults.append(f"{host}: {reason(exc)}")
        else:
            yield ok(f"Port {RECEIVERS_PORT} of {host} can be reached from this machine")
            return
    yield problem(f"Port {RECEIVERS_PORT} of other mail servers cannot be reached ({'; '.join(faults)}).", BLOCKED)


def said(answer: bytes | str) -> str:
    """A server's answer in one line."""
    return " ".join((answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer).split())[:300]


def reason(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    return said(getattr(exc, "strerror", None) or str(exc)) or type(exc).__name__
