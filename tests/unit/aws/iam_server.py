"""A server that checks signatures: 200 where botocore computes the same one, else 403. It may be given its replies."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.servers import Handler, Server

STREAM = (b": usage 3 1 0\n", b'data: {"choices":[]}\n\n', b"data: [DONE]\n\n")


@dataclass(frozen=True)
class Reply:
    """What is answered instead. `parts`: of a stream, with a pause where a number of seconds stands; `end`: whether it
    is ended as HTTP wants it."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    parts: tuple[bytes | float, ...] = ()
    end: bool = True


@dataclass
class Gate:
    """Whose signatures are accepted, and the requests that came."""

    credentials: Credentials
    region: str
    url: str = ""
    service: str = "lambda"
    let_in: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    reply: "Reply | None" = None

    def lets_in(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bool:
        """Computes the signature of the received request again, with the headers that it names as signed."""
        sent = headers.get("authorization", "")
        if not sent.startswith("AWS4-HMAC-SHA256 ") or headers.get("x-amz-content-sha256") != sha256(body).hexdigest():
            return False
        signed = {part.split("=", 1)[0].strip(): part.split("=", 1)[1] for part in sent[17:].split(",")}
        names = signed["SignedHeaders"].split(";")
        if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names):
            return False
        if (self.credentials.token is not None) != ("x-amz-security-token" in names):
            return False
        request: Any = AWSRequest(method, f"https://{headers['host']}{path}", headers={n: headers[n] for n in names})
        request.data = body
        signer: Any = SigV4Auth(self.credentials, self.service, self.region)
        request.context["timestamp"] = headers["x-amz-date"]
        wanted = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        return bool(wanted == signed["Signature"]) and f"/{self.region}/{self.service}/" in signed["Credential"]


class _Requests(Handler):
    gate: Gate

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.body())

    def _answer(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not self.gate.lets_in(self.command, self.path, headers, body):
            self.gate.refused.append(self.path)
            return self.answer(403, {"Message": "Forbidden"})
        self.gate.let_in.append(self.path)
        self.gate.bodies.append(json.loads(body) if body else {})
        if self.gate.reply is not None:
            return self._reply(self.gate.reply)
        if body and json.loads(body).get("stream"):
            return self._stream()
        self.answer(200, {"data": [{"id": "demo"}]})

    def _reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if not reply.parts:
            self.send_header("content-length", str(len(reply.body)))
        else:
            self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(reply.body)
        with suppress(OSError):  # the gateway may hang up
            for part in reply.parts:
                if isinstance(part, float):
                    time.sleep(part)
                else:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n" if reply.parts and reply.end else b"")
        self.close_connection = not reply.end

    def _stream(self) -> None:
        self.head(200, transfer_encoding="chunked")
        for part in (*STREAM, b""):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))


@contextmanager
def iam_server(credentials: Credentials, region: str) -> Iterator[Gate]:
    gate = Gate(credentials, region)
    with Server(_Requests, gate=gate) as server:
        gate.url = server.url
        yield gate
