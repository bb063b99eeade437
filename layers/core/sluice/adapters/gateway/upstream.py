"""A model server with OpenAI's protocol, always called with streaming.

Sluice's engine adds comment lines (`: usage PROMPT COMPLETION CACHED`, `: ping`). With other servers the counts are
those of the last chunk; until it arrives, and where none does, a token is taken to be four bytes.
"""

import http.client
import json
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pydantic_core

from sluice.adapters.aws.http_answer import Answer
from sluice.adapters.aws.http_pool import Connection, Pool
from sluice.adapters.gateway.refusals import error_from
from sluice.domain import errors
from sluice.domain.gateway import chunk_form, chunks
from sluice.domain.gateway.estimates import BYTES_A_TOKEN, prompt_tokens
from sluice.domain.gateway.model_rows import model_rows
from sluice.ports.gateway import RunAnswer, UpstreamCall

MAX_ANSWER_BYTES = 8 * 1024 * 1024  # of an answer that is not streamed: an error, the list of models
MAX_EMBEDDINGS_BYTES = 64 * 1024 * 1024  # 2,048 vectors of 1,024 numbers of 22 characters are 46 MiB
MAX_MODELS = 2_000  # of the list of a server that is not ours
MAX_LINE_BYTES = 1024 * 1024
MAX_REST_BYTES = 1_024  # after the last event
FINISH_SECONDS = 0.5  # for them
HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")  # UTF-16's, which may stand alone
PING_SECONDS = 2.5  # a silence of the server that gives the gateway a turn, to renew the lease or to stop
NO_SUCH_CALL = (404, 405, 501)
DONE = b"[DONE]"
NO_ANSWER = "The model sent what is no answer."
TOO_LONG = "The request took longer than it may; a streamed answer may take longer."
Sign = Callable[[str, str, str, bytes], dict[str, str]]  # (method, host, path, body) → headers, including `host`


class HttpUpstream:
    """`sluice.ports.gateway.Upstream` over HTTP. `idle_seconds`: the longest silence; the engine pings every 2 s.

    `url`: with or without the `/v1` that a base URL of OpenAI's SDKs ends in.
    `sign` makes the headers that authenticate the caller to a function URL of AuthType AWS_IAM; None sends none.
    `key` tells the key that the server wants; None if it wants none. `is_ours`: Sluice's engine, which learns the
    account and the deadline.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_seconds: float,
        idle_seconds: float,
        sign: Sign | None = None,
        key: Callable[[], str] | None = None,
        is_ours: bool = True,
    ) -> None:
        self._pool = Pool(url.rstrip("/").removesuffix("/v1"), connect_seconds=connect_seconds)
        self._idle_seconds = idle_seconds
        self._sign, self._key, self._is_ours = sign, key, is_ours
        self._secrets: deque[str] = deque(maxlen=4)  # that were sent lately

    def open(self, call: UpstreamCall) -> "HttpStream":
        give_up = time.monotonic() + call.deadline_seconds
        connection, response = self._post(call)
        response.give_up = give_up
        if response.status != 200:
            raise self._refusal(response, self._answer(connection, response))
        stream = HttpStream(
            self._pool, connection, response, self._idle_seconds, give_up, partial(prompt_tokens, call.body)
        )
        stream.named, stream.error = call.named, None if self._is_ours else self._event_error
        return stream

    def fetch(self, call: UpstreamCall) -> dict[str, Any]:
        """An answer that is not streamed (embeddings). Errors: as `open`."""
        give_up = time.monotonic() + call.deadline_seconds
        connection, response = self._post(call)
        response.give_up = give_up
        most = MAX_EMBEDDINGS_BYTES if call.path == "/v1/embeddings" else MAX_ANSWER_BYTES
        answer = self._answer(connection, response, most)
        if response.status != 200:
            raise self._refusal(response, answer)
        rows = answer.get("data", answer.get("results"))
        is_list = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
        if call.path.startswith("/v1/") and not is_list:
            raise errors.AnswerLost(NO_ANSWER)
        return {**answer, "model": call.named} if call.named else answer

    def run(self, call: UpstreamCall) -> RunAnswer:
        raise errors.InvalidModelRequest("This model is a language model: it takes no other bodies.", "model")

    def count(self, call: UpstreamCall) -> int | None:
        give_up = time.monotonic() + call.deadline_seconds
        connection, response = self._post(call)
        response.give_up = give_up
        answer = self._answer(connection, response)
        if self._is_ours and response.status not in (200, *NO_SUCH_CALL):
            raise self._refusal(response, answer)
        count = answer.get("count") if response.status == 200 else None  # another server's refusal is of no answer
        return count if isinstance(count, int) and count >= 0 else None

    def models(self) -> list[dict[str, Any]]:
        connection, response = self._request("GET", "/v1/models", b"", {}, 2.0)
        answer = self._answer(connection, response)
        if response.status in NO_SUCH_CALL and not self._is_ours:
            return []  # the names that its owner states are enough
        if response.status != 200:
            raise self._refusal(response, answer)
        rows = list(answer.get("data", []))
        return rows if self._is_ours else model_rows(rows[:MAX_MODELS])

    def health(self) -> dict[str, Any]:
        """The model server's health report, for any HTTP status. Errors: ModelUnavailable."""
        connection, response = self._request("GET", "/healthz", b"", {}, 2.0)
        return {**self._answer(connection, response), "http_status": response.status}

    def _refusal(self, response: Answer, answer: dict[str, Any]) -> errors.SluiceError:
        return error_from(response.status, answer, response.headers, self._hidden())

    def _hidden(self) -> tuple[str, ...]:
        """What no caller may see: its keys, and its address, that a server in between may name."""
        return (*self._secrets, self._pool.host_header, self._pool.host)

    def _event_error(self, event: dict[str, Any]) -> errors.SluiceError:
        """Of a server that is not ours, and says within its stream that it failed."""
        code = event["error"].get("code") if isinstance(event["error"], dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 503
        return error_from(status, event, {}, self._hidden())

    def _post(self, call: UpstreamCall) -> tuple[Connection, Answer]:
        # Servers with starlette-context, such as llama-cpp-python's, refuse an x-request-id that is no UUID.
        name = "x-request-id" if self._is_ours else "x-client-request-id"
        headers = {"content-type": "application/json", name: call.request_id}
        if self._is_ours:
            headers["x-sluice-account"] = call.account_id
            headers["x-sluice-deadline-ms"] = str(int(call.deadline_seconds * 1000))
            if call.is_row:
                headers["x-sluice-priority"] = "low"
            if call.tries > 1:
                headers["x-sluice-tries"] = str(call.tries)
        if call.traceparent:
            headers["traceparent"] = call.traceparent
        body = pydantic_core.to_json(call.body)  # a quarter of what the standard library takes
        return self._request("POST", call.path, body, headers, min(self._idle_seconds, call.deadline_seconds))

    def _request(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: dict[str, str],
        read_seconds: float,
        begin: Callable[[socket.socket], Answer] | None = None,
    ) -> tuple[Connection, Answer]:
        """Send once. Retry only if an idle connection was closed before a byte of the answer arrived. `begin`: reads
        the answer's head, which otherwise has to be whole within `read_seconds`."""
        head = self._head(method, path, headers, body)
        for fresh in (False, True):
            connection, answer = None, None
            try:
                connection = self._pool.take(read_seconds, fresh=fresh)
                assert connection.sock is not None
                connection.sock.sendall(head + body)
                answer = begin(connection.sock) if begin else Answer(connection.sock, time.monotonic() + read_seconds)
                return connection, answer
            except (OSError, http.client.HTTPException) as exc:
                was_closed = isinstance(exc, ConnectionError | http.client.BadStatusLine)
                if connection is None or not (was_closed and connection.used):
                    raise _lost(connection, exc) from exc
            finally:
                if answer is None and connection is not None:
                    connection.close()
        raise errors.ModelUnavailable()

    def _head(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        """Needs no escaping, because paths and header values are constants, numbers, ids made here, checked keys, and
        what `HttpModel` has checked or escaped."""
        path, host = self._pool.path_prefix + path, self._pool.host_header
        shown = self._sign(method, host, path, body) if self._sign else {"host": host}
        self._hide(shown.get("x-amz-security-token"))
        if self._key:
            key = self._key()
            self._hide(key)
            shown["authorization"] = f"Bearer {key}"
        lines = "".join([f"{name}: {value}\r\n" for name, value in {**shown, **headers}.items()])
        return f"{method} {path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode("ascii")

    def _hide(self, secret: str | None) -> None:
        if secret and secret not in self._secrets:
            self._secrets.append(secret)

    def _answer(self, connection: Connection, response: Answer, most_bytes: int = MAX_ANSWER_BYTES) -> dict[str, Any]:
        try:
            raw = response.read(most_bytes)
            if response.reusable:
                self._pool.give_back(connection)
            else:
                connection.close()
            answer = json.loads(raw)
        except TimeoutError as exc:
            connection.close()
            raise errors.UpstreamTimeout() from exc
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            raise errors.AnswerLost() from exc
        except (ValueError, RecursionError):
            return {}
        return answer if isinstance(answer, dict) else {}


class HttpStream:
    """`sluice.ports.gateway.UpstreamStream`: server-sent events, line by line, as they arrive."""

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        response: Answer,
        idle_seconds: float,
        give_up: float,
        prompt_tokens: Callable[[], int],
    ) -> None:
        """`give_up`: the deadline, in seconds of the monotonic clock. `prompt_tokens`: estimates them, for a server
        that sends no counts."""
        self._pool, self._connection, self._response = pool, connection, response
        self._idle_seconds, self._give_up = idle_seconds, give_up
        self._prompt_tokens = prompt_tokens
        self._bytes = 0
        self._ended = False
        self.prompt_tokens = self.completion_tokens = self.cached_tokens = 0
        self._server_counts = False  # whether the server sends usage comments
        self._heard, self._waits = time.monotonic(), 0.0
        self.named = ""
        """The model's name in the chunks, whatever the server calls it; empty: as it does."""
        self._renaming: tuple[bytes, bytes] | None = None
        self.error: Callable[[dict[str, Any]], errors.SluiceError] | None = None
        """What an event with an error means, of a server that is not ours; it is not believed to count by comments."""

    @property
    def estimated(self) -> bool:
        return not self._server_counts

    @estimated.setter
    def estimated(self, value: bool) -> None:
        self._server_counts = not value

    def __iter__(self) -> Iterator[bytes]:
        buffer = b""
        while not self._ended:
            block = self._read()
            if block is None:
                yield b""
                continue
            if not block:
                raise errors.AnswerLost("The model broke off its answer.")
            *lines, buffer = (buffer + block).split(b"\n")
            if len(buffer) > MAX_LINE_BYTES:
                raise errors.AnswerLost("The model sent a line without an end.")
            for line in filter(None, lines):
                if line.startswith(b"data:"):
                    payload = line[5:].strip()
                    if payload == DONE:
                        self._finish()
                        return
                    yield self._passed(payload)
                elif line.startswith(b": usage ") and self.error is None:
                    self._count(line)
                elif line.strip():
                    yield b""  # a comment, or what means nothing to us

    def _read(self) -> bytes | None:
        """The next bytes; b"" at the end; None if nothing came for `PING_SECONDS`."""
        now = time.monotonic()
        until = min(self._give_up, self._heard + self._idle_seconds)
        if until <= now:
            raise errors.UpstreamTimeout(TOO_LONG if until == self._give_up else None)
        try:
            seconds = min(PING_SECONDS, until - now)
            if seconds != self._waits and self._connection.sock is not None:  # setting it is a system call
                self._connection.sock.settimeout(seconds)
                self._waits = seconds
            block = self._response.read1()
        except TimeoutError:
            return None
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise errors.AnswerLost("The model broke off its answer.") from exc
        self._heard = time.monotonic()
        return block

    def _passed(self, payload: bytes) -> bytes:
        """The chunk, counted and renamed. Errors: AnswerLost, if it is no chunk; what `error` makes of one."""
        if self._server_counts:
            return self._renamed(payload) if self.named else payload
        try:
            chunk = chunk_form.parsed(payload)
        except ValueError as exc:
            raise errors.AnswerLost(NO_ANSWER) from exc
        if chunk.get("error"):
            if self.error is None:
                return payload
            raise self.error(chunk)
        self._bytes += chunks.text_bytes(chunk)
        self.prompt_tokens = self.prompt_tokens or self._prompt_tokens()
        self.completion_tokens = -(-self._bytes // BYTES_A_TOKEN)
        changed = chunk_form.with_sound_usage(chunk)
        if changed or payload.find(b"\r") >= 0 or HALF_CHARACTER.search(payload):
            payload = json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        return self._renamed(payload, chunk) if self.named else payload

    def _renamed(self, payload: bytes, chunk: dict[str, Any] | None = None) -> bytes:
        """Quotes are escaped inside JSON strings, so the bytes of the key and its value change no text."""
        if chunk is None and self._renaming is not None and payload.find(self._renaming[0]) >= 0:
            return payload.replace(*self._renaming)
        chunk = json.loads(payload) if chunk is None else chunk
        if chunk.get("model") == self.named or "model" not in chunk:
            return payload
        ours = b'"model":' + json.dumps(self.named).encode()
        theirs = (b'"model":' + blank + json.dumps(chunk["model"]).encode() for blank in (b"", b" "))
        found = next((one for one in theirs if payload.find(one) >= 0), None)
        if found is None:
            return json.dumps({**chunk, "model": self.named}, separators=(",", ":")).encode()
        self._renaming = (found, ours)
        return payload.replace(found, ours)

    def _count(self, line: bytes) -> None:
        self.prompt_tokens, self.completion_tokens, self.cached_tokens = map(int, line[8:].split()[:3])
        if not self._server_counts:
            self._server_counts, self._prompt_tokens = True, int  # the request need not be kept any longer

    def _finish(self) -> None:
        """Read the end of the chunked body, so that the connection can serve again, unless that takes longer."""
        self._ended = True
        self._response.give_up = time.monotonic() + FINISH_SECONDS
        try:
            if self._connection.sock is not None:
                self._connection.sock.settimeout(FINISH_SECONDS)
            rest = self._response.read(MAX_REST_BYTES)
            if self._response.reusable and not rest.strip():
                self._pool.give_back(self._connection)
                return
        except (OSError, http.client.HTTPException, ValueError):
            pass
        self._connection.close()

    def close(self) -> None:
        if not self._ended:
            self._ended = True
            self._connection.close()  # the engine sees it and frees the slot


def _lost(connection: Connection | None, cause: Exception) -> errors.SluiceError:
    """For an answer that does not come. Without a connection nothing was asked."""
    if connection is None:
        return errors.ModelUnavailable()
    return errors.UpstreamTimeout() if isinstance(cause, TimeoutError) else errors.AnswerLost()
