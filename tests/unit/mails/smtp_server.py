"""A small mail server whose answers a test sets, for the tests of SmtpMail."""

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class Behaviour:
    """`answers`: an SMTP verb (or `data.` for the text's own, `connect` for the greeting) → the server's answer.

    `silent_at`: the verb that gets no answer. `certificate`: for STARTTLS, if offered. `user`: for AUTH, if offered.
    """

    answers: dict[str, str] = field(default_factory=dict)
    silent_at: str = ""
    certificate: ssl.SSLContext | None = None
    user: tuple[str, str] | None = None
    extensions: tuple[str, ...] = ()
    greeted_as: str = "test"


@dataclass
class Received:
    sender: str
    recipients: list[str]
    message: EmailMessage
    raw: bytes
    secure: bool
    user: str


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, block_on_close = True, True, False

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.behaviour = behaviour
        self.received: list[Received] = []
        self.said: list[str] = []  # every line that a client sent
        self.over = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@contextmanager
def smtp_server(behaviour: Behaviour | None = None) -> Iterator[Server]:
    with Server(behaviour or Behaviour()) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


class _Talk(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        self.secure, self.user, self.sender, self.recipients = False, "", "", list[str]()
        try:
            self._say("connect", "220 test")
            while line := self.rfile.readline(4096):
                self.server.said.append(line.decode().rstrip())
                verb, _, rest = line.decode().strip().partition(" ")
                if not self._answer(verb.lower(), rest):
                    return
        except (OSError, ValueError):
            return
        finally:
            for opened in (self.rfile, self.wfile, self.request):  # after STARTTLS not those the server knows of
                opened.close()

    def _answer(self, verb: str, rest: str) -> bool:
        behaviour = self.server.behaviour
        match verb:
            case "ehlo":
                offered = [behaviour.greeted_as, *behaviour.extensions]
                offered += ["STARTTLS"] if behaviour.certificate and not self.secure else []
                offered += ["AUTH PLAIN"] if behaviour.user else []
                lines = [f"250{'-' if place < len(offered) - 1 else ' '}{line}" for place, line in enumerate(offered)]
                self._say(verb, "\r\n".join(lines))
            case "starttls":
                self._say(verb, "220 go")
                assert behaviour.certificate
                self.request = behaviour.certificate.wrap_socket(self.request, server_side=True)
                self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)
                self.secure = True
            case "auth":
                _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                self.user = user if (user, password) == behaviour.user else ""
                self._say(verb, "235 welcome" if self.user else "535 no")
            case "mail":
                self.sender = rest.partition(":")[2]  # `FROM:`, which Python 3.13 writes in lower case
                self._say(verb, "250 ok")
            case "rcpt":
                self.recipients.append(rest.partition(":")[2])
                self._say(verb, "250 ok")
            case "data":
                if self._say(verb, "354 go on").startswith("3"):
                    self._take()
            case "quit":
                self._say(verb, "221 bye")
                return False
            case _:
                self._say(verb, "250 ok")
        return True

    def _take(self) -> None:
        raw = b""
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            raw += line
        if self._say("data.", "250 taken").startswith("2"):
            message = message_from_bytes(raw, policy=policy.default)
            self.server.received.append(Received(self.sender, self.recipients, message, raw, self.secure, self.user))

    def _say(self, verb: str, otherwise: str) -> str:
        if self.server.behaviour.silent_at == verb:
            self.server.over.wait(30)
            raise OSError("never answered")
        answer = self.server.behaviour.answers.get(verb, otherwise)
        self.wfile.write(answer.encode() + b"\r\n")
        self.wfile.flush()
        return answer
