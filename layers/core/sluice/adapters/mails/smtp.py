"""Mail by SMTP: with STARTTLS if the server offers it; `smtps://` uses TLS throughout."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import policy
from ipaddress import ip_address
from smtplib import SMTP, SMTP_SSL, SMTPDataError, SMTPException, SMTPNotSupportedError, SMTPRecipientsRefused
from socket import SHUT_RDWR
from threading import Timer

from sluice.adapters.mails.message import deliverable, mime, sender_of
from sluice.adapters.mails.signing import Signer
from sluice.domain.mails.mail import MailRefused, MailUndelivered, Message
from sluice.domain.mails.servers import SmtpServer

TIMEOUT_SECONDS = 10.0  # for each answer of the server
UTF8 = ("SMTPUTF8", "BODY=8BITMIME")  # options of a mail to an address outside ASCII
DEADLINE_SECONDS = 45.0  # for all answers together, because a slow server can keep each wait short


class SmtpMail:
    """`tls` is for tests, whose server has its own certificate."""

    def __init__(self, server: SmtpServer, tls: ssl.SSLContext | None = None, signer: Signer | None = None) -> None:
        self._server, self._signer = server, signer
        self._tls = tls or ssl.create_default_context()

    def send(self, message: Message, now_ms: int) -> None:
        """Errors: MailUndelivered, MailRefused.

        Only a permanent answer (5xx) about this recipient or text is a refusal. All other errors, such as a wrong
        password, are temporary because they can be repaired.
        """
        built = mime(message, now_ms)
        sender, recipient = sender_of(message.sender), deliverable(message.to)
        try:
            raw = built.as_bytes(policy=policy.SMTP if recipient.isascii() else policy.SMTPUTF8)
            signature = self._signer.header(raw, sender.domain) if self._signer else b""
            with self.connection() as smtp:
                smtp.sendmail(sender.addr_spec, [recipient], signature + raw, () if recipient.isascii() else UTF8)
        except SMTPRecipientsRefused as exc:
            code = next(iter(exc.recipients.values()))[0]
            raise (MailRefused() if code >= 500 else MailUndelivered()) from exc
        except SMTPDataError as exc:
            raise (MailRefused() if exc.smtp_code >= 500 else MailUndelivered()) from exc
        except SMTPNotSupportedError as exc:  # a non-ASCII address and a server without SMTPUTF8
            raise MailRefused() from exc
        except (SMTPException, OSError, ValueError) as exc:
            raise MailUndelivered() from exc

    @contextmanager
    def connection(self) -> Iterator[SMTP]:
        """Logged in, and encrypted if the server offers it. Errors: SMTPException, OSError."""
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
        if not secure and not is_loopback(self._server.host):
            raise SMTPException("the mail server offers no TLS: the password is not sent in the clear")
        smtp.login(self._server.user, self._server.password)


def _hang_up(smtp: SMTP) -> None:
    with suppress(OSError, AttributeError):
        smtp.sock.shutdown(SHUT_RDWR)  # type: ignore[union-attr]


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False
