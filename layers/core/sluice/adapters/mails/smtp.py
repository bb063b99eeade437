"""Mail by SMTP: `smtp://user:pass@host:port` with STARTTLS if the server offers it; `smtps://` uses TLS throughout."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parseaddr
from ipaddress import ip_address
from smtplib import SMTP, SMTP_SSL, SMTPDataError, SMTPException, SMTPNotSupportedError, SMTPRecipientsRefused
from socket import SHUT_RDWR
from threading import Timer
from urllib.parse import unquote, urlsplit

from sluice.adapters.mails.message import deliverable, mime
from sluice.domain.mails.mail import MailRefused, MailUndelivered, Message

TIMEOUT_SECONDS = 10.0  # for each answer of the server
DEADLINE_SECONDS = 45.0  # for all answers together, because a slow server can keep each wait short
PORTS = {"smtp": 25, "smtps": 465}


@dataclass(frozen=True)
class SmtpServer:
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False  # TLS from the start; STARTTLS is used whenever the server offers it


def parse_smtp_url(url: str) -> SmtpServer:
    """Raises ValueError without the URL in its message, because the URL holds a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise ValueError("the mail server's port is not a number from 1 to 65535") from exc
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("a mail server is written as smtp://user:pass@host:port")
    if (parts.username or "") != "" and parts.password is None:
        raise ValueError("the mail server's user has no password: smtp://user:pass@host:port")
    return SmtpServer(
        parts.hostname,
        port or PORTS[parts.scheme],
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        parts.scheme == "smtps",
    )


class SmtpMail:
    """`tls` is for tests, whose server has its own certificate."""

    def __init__(self, server: SmtpServer, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._tls = tls or ssl.create_default_context()

    def send(self, message: Message, now_ms: int) -> None:
        """Errors: MailUndelivered, MailRefused.

        Only a permanent answer (5xx) about this recipient or text is a refusal. All other errors, such as a wrong
        password, are temporary because they can be repaired.
        """
        built = mime(message, now_ms)
        sender, recipient = parseaddr(message.sender)[1], deliverable(message.to)
        try:
            with self._connection() as smtp:
                smtp.send_message(built, sender, [recipient])
        except SMTPRecipientsRefused as exc:
            code = next(iter(exc.recipients.values()))[0]
            raise (MailRefused() if code >= 500 else MailUndelivered()) from exc
        except SMTPDataError as exc:
            raise (MailRefused() if exc.smtp_code >= 500 else MailUndelivered()) from exc
        except SMTPNotSupportedError as exc:  # a non-ASCII address and a server without SMTPUTF8
            raise MailRefused() from exc
        except (SMTPException, OSError) as exc:
            raise MailUndelivered() from exc

    @contextmanager
    def _connection(self) -> Iterator[SMTP]:
        server = self._server
        if server.tls:
            smtp: SMTP = SMTP_SSL(server.host, server.port, timeout=TIMEOUT_SECONDS, context=self._tls)
        else:
            smtp = SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
        watchdog = Timer(DEADLINE_SECONDS, _hang_up, (smtp,))
        watchdog.daemon = True
        watchdog.start()
        try:
            self._greet(smtp)
            yield smtp
            with suppress(SMTPException, OSError):  # the mail is already accepted, so a failed QUIT does not matter
                smtp.quit()
        finally:
            watchdog.cancel()
            smtp.close()

    def _greet(self, smtp: SMTP) -> None:
        smtp.ehlo_or_helo_if_needed()
        secure = self._server.tls
        if not secure and smtp.has_extn("starttls"):
            smtp.starttls(context=self._tls)
            smtp.ehlo()
            secure = True
        if not self._server.user:
            return
        if not secure and not _is_loopback(self._server.host):
            raise SMTPException("the mail server offers no TLS: the password is not sent in the clear")
        smtp.login(self._server.user, self._server.password)


def _hang_up(smtp: SMTP) -> None:
    with suppress(OSError, AttributeError):
        smtp.sock.shutdown(SHUT_RDWR)  # type: ignore[union-attr]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False
