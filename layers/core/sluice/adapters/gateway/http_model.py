"""A model behind HTTP that need not be a language model: any body in, any answer out (ADR 113).

    plain  POST url
    v2     POST url/v2/models/NAME/infer, GET url/v2/models/NAME, GET url/v2/models/NAME/ready

`v2` is the Open Inference Protocol of KServe, MLServer and Triton. Its answers name the model, and bear our name of it.
Sources: Open Inference Protocol, REST, v2; Triton's extension for binary tensors (`Inference-Header-Content-Length`).
"""

import http.client
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

import pydantic_core

from sluice.adapters.aws.http_answer import Answer
from sluice.adapters.aws.http_pool import Connection, Pool
from sluice.adapters.gateway.run_refusals import refusal
from sluice.adapters.gateway.upstream import PING_SECONDS, TOO_LONG, HttpUpstream
from sluice.domain import errors
from sluice.ports.gateway import INFER_PATH, METADATA_PATH, READY_PATH, UpstreamCall

log = logging.getLogger("sluice.upstream")

MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_JSON_BYTES = 8 * 1024 * 1024  # of an answer that is parsed, because it names the model
HELD_BYTES = 64 * 1024  # an answer that says it is no longer is read whole, so that half of it is none
SEND_SECONDS = 20.0  # below the lease of 30 s, which nothing renews meanwhile
HEAD_SECONDS = 5.0  # from the first byte of the answer's head to its last
BINARY_HEADER = "inference-header-content-length"
SENT = ("content-type", "accept", BINARY_HEADER)  # of the caller's headers
SHOWABLE = re.compile(r"[ -~]{1,256}")
MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}(\s*;[ -~]{1,200})?", re.ASCII)
STATUSES = (200, 201, 202, 204)  # that the caller gets as they are; any other 2xx is a 200
PATHS = {INFER_PATH: "/infer", METADATA_PATH: "", READY_PATH: "/ready"}
NO_ANSWER = "The model sent what is no answer."


class HttpModel(HttpUpstream):
    """`sluice.ports.gateway.Upstream` of a server of kind `http`, of which only `run` is ever called."""

    def __init__(self, url: str, *, speaks_v2: bool, **about_it: Any) -> None:
        """`about_it`: what `HttpUpstream` takes."""
        parts = urlsplit(url)
        super().__init__(f"{parts.scheme}://{parts.netloc}", **about_it)
        self._speaks_v2 = speaks_v2
        self._path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        self._query = f"?{quote(parts.query, safe='/?%:@!$&()*+,;=~-._')}" if parts.query else ""
        self._place = (parts.netloc, parts.hostname or "")

    def models(self) -> list[dict[str, Any]]:
        """It has those that the owner names."""
        return []

    def run(self, call: UpstreamCall) -> "Ran":
        assert call.content is not None
        give_up = time.monotonic() + call.deadline_seconds
        connection, answer, source = self._sent(call, give_up)
        ran = Ran(self._pool, connection, answer, source, self._idle_seconds)
        try:
            if not 200 <= answer.status < 300:
                raise self._refused(ran, call.path)
            ran.begin(call.waiting)
            if self._speaks_v2:
                ran.rename("model_name" if call.path not in (METADATA_PATH, READY_PATH) else "name", _name(call))
            return ran
        except BaseException:
            ran.close()
            raise

    def _sent(self, call: UpstreamCall, give_up: float) -> "tuple[Connection, Answer, _Source]":
        assert call.content is not None
        given = {name: value for name, value in call.content.headers.items() if name in SENT}
        headers = {name: value for name, value in given.items() if SHOWABLE.fullmatch(value)}
        headers |= {"accept-encoding": "identity", "x-client-request-id": call.request_id}
        if call.traceparent:
            headers["traceparent"] = call.traceparent
        method = "GET" if call.path in (METADATA_PATH, READY_PATH) else "POST"
        seconds = min(SEND_SECONDS, call.deadline_seconds)
        made: list[_Source] = []

        def begin(sock: socket.socket) -> Answer:
            made.append(_Source(sock, give_up, self._idle_seconds))
            return made[-1].head(call.waiting)

        connection, answer = self._request(method, self._target(call), call.content.body, headers, seconds, begin)
        return connection, answer, made[-1]

    def _target(self, call: UpstreamCall) -> str:
        if not self._speaks_v2:
            return self._path + self._query
        base = self._path.rstrip("/").removesuffix("/v2")
        return f"{base}/v2/models/{quote(str(call.body['model']), safe='')}{PATHS.get(call.path, '/infer')}"

    def _refused(self, ran: "Ran", path: str) -> errors.SluiceError:
        if path == READY_PATH:
            return errors.ModelUnavailable("The model is not ready.")
        return refusal(ran.answer.status, ran.whole_refusal(), ran.answer.headers, (*self._place, *self._secrets))


def _name(call: UpstreamCall) -> str:
    return call.named or str(call.body["model"])


class _Source:
    """`sluice.adapters.aws.http_answer.Source`: a socket that is read until the deadline, each time for so long as a
    silence may last before the gateway has its turn."""

    def __init__(self, sock: socket.socket, give_up: float, idle_seconds: float) -> None:
        """`give_up`: the deadline, in seconds of the monotonic clock. `idle_seconds`: the longest silence."""
        self._sock, self._give_up, self._idle_seconds = sock, give_up, idle_seconds
        self._heard, self._turn_seconds = time.monotonic(), PING_SECONDS
        self._held = b""

    def head(self, waiting: Callable[[], None]) -> Answer:
        """A model may think until the deadline before its first byte; then its head must follow at once."""
        while True:
            try:
                self._held = self.recv(65_536, idle=False)
                break
            except TimeoutError:
                self.check(idle=False)
                waiting()
        if not self._held:
            raise http.client.BadStatusLine("the connection was closed before an answer")
        self._turn_seconds = HEAD_SECONDS
        answer = Answer(self, min(self._give_up, time.monotonic() + HEAD_SECONDS))
        self._turn_seconds, answer.give_up = PING_SECONDS, self._give_up
        return answer

    def recv(self, size: int, /, *, idle: bool = True) -> bytes:
        """Errors: OSError, also TimeoutError, after which `check` tells whether there is time left."""
        if self._held:
            held, self._held = self._held, b""
            return held
        self._sock.settimeout(max(0.001, min(self._turn_seconds, self._until(idle) - time.monotonic())))
        received = self._sock.recv(size)
        self._heard = time.monotonic()
        return received

    def check(self, *, idle: bool = True) -> None:
        """Errors: UpstreamTimeout."""
        if (until := self._until(idle)) <= time.monotonic():
            raise errors.UpstreamTimeout(TOO_LONG if until == self._give_up else None)

    def _until(self, idle: bool) -> float:
        return min(self._give_up, self._heard + self._idle_seconds) if idle else self._give_up


class Ran:
    """`sluice.ports.gateway.RunAnswer`."""

    def __init__(
        self, pool: Pool, connection: Connection, answer: Answer, source: _Source, idle_seconds: float
    ) -> None:
        self.answer = answer
        self._pool, self._connection, self._source = pool, connection, source
        self._held, self._bytes, self._closed = b"", 0, False
        self.status = answer.status if answer.status in STATUSES else 200
        self.headers: dict[str, str] = {}

    @property
    def ended(self) -> bool:
        return self.answer.ended

    def begin(self, waiting: Callable[[], None]) -> None:
        """Check the head, and read the first piece; of a short answer all. Errors: as iteration."""
        told = self.answer.headers
        self.headers = _shown(told)
        size = b"" if b"transfer-encoding" in told else told.get(b"content-length", b"")  # RFC 9112, section 6.3
        if told.get(b"content-encoding", b"identity").lower() != b"identity":
            log.error("the model server sends a compressed answer, which it was not asked for")
            raise errors.AnswerLost(NO_ANSWER)
        if int(size or 0) > MAX_ANSWER_BYTES:
            log.warning("the model server's answer is larger than %s bytes", MAX_ANSWER_BYTES)
            raise errors.AnswerLost(NO_ANSWER)
        self._read_until(1 if not size or int(size) > HELD_BYTES else HELD_BYTES + 1, waiting)
        if size:
            self.headers["content-length"] = str(int(size))
        self._waiting = waiting

    def rename(self, field: str, name: str) -> None:
        """Put our name of the model into the JSON that tells it, for which it is read whole. Errors: as iteration."""
        told = self.headers.get(BINARY_HEADER)
        size = int(told) if told is not None else None
        self._read_until(MAX_JSON_BYTES + 1 if size is None else size, self._waiting)
        if len(self._held) < (size or 0) or (size is None and not self.ended):
            raise errors.AnswerLost(NO_ANSWER)
        head, rest = (self._held, b"") if size is None else (self._held[:size], self._held[size:])
        if field == "name" and not head.strip():  # some servers say by the status alone that a model is ready
            head = b"{}"
        try:
            found = pydantic_core.from_json(head)
        except ValueError as exc:
            raise errors.AnswerLost(NO_ANSWER) from exc
        if not isinstance(found, dict):
            raise errors.AnswerLost(NO_ANSWER)
        renamed = pydantic_core.to_json({**found, field: name})
        self._held = renamed + rest
        if size is not None:
            self.headers[BINARY_HEADER] = str(len(renamed))
        self.headers.pop("content-length", None)
        self.headers.setdefault("content-type", "application/json")

    def _read_until(self, size: int, waiting: Callable[[], None]) -> None:
        """Hold so many bytes of the answer, or all of a shorter one."""
        pieces = [self._held]
        have = len(self._held)
        while have < size and not self.ended:
            piece = self._read()
            if piece is None:
                waiting()
                continue
            pieces.append(piece)
            have += len(piece)
        self._held = b"".join(pieces)

    def __iter__(self) -> Iterator[bytes]:
        held, self._held = self._held, b""
        if held:
            yield held
        while not self.ended:
            piece = self._read()
            if piece or not self.ended:
                yield piece or b""
        self.close()

    def _read(self) -> bytes | None:
        """The next bytes; b"" only at the end; None in a silence. Errors: ModelUnavailable, UpstreamTimeout."""
        self._source.check()
        try:
            piece = self.answer.read1()
        except TimeoutError:
            self._source.check()
            return None
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise errors.AnswerLost("The model broke off its answer.") from exc
        self._bytes += len(piece)
        if self._bytes > MAX_ANSWER_BYTES:
            log.warning("the model server's answer is larger than %s bytes", MAX_ANSWER_BYTES)
            raise errors.AnswerLost(NO_ANSWER)
        return piece

    def whole_refusal(self) -> bytes:
        """The body of an error, as much of it as comes at once."""
        with suppress(errors.SluiceError):
            self._read_until(HELD_BYTES, _no_more)
        return self._held[:HELD_BYTES]

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self.answer.reusable:
            self._pool.give_back(self._connection)
        else:
            self._connection.close()


def _no_more() -> None:
    raise errors.UpstreamTimeout()


def _shown(told: Mapping[bytes, bytes]) -> dict[str, str]:
    """What the caller learns of the answer's headers."""
    shown = {"content-type": "application/octet-stream"}
    kind = told.get(b"content-type", b"").decode("latin-1")
    if MEDIA_TYPE.fullmatch(kind):
        shown["content-type"] = kind
    size = told.get(BINARY_HEADER.encode())
    if size is not None:
        if not size.isdigit() or len(size) > 7:
            raise errors.AnswerLost(NO_ANSWER)
        shown[BINARY_HEADER] = size.decode()
    return shown
