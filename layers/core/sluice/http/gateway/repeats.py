"""Requests with an `Idempotency-Key`: the first is executed, and goes on without its caller; the others get its answer
(ADR 121).

    first   ─ claim ─ the view ─ answer, settled ─ kept ─ last byte
    again   ─ claimed already: 422 (another body) │ wait, 409 │ the same answer
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from flask import Response, g, request
from pydantic import BaseModel

from sluice.domain import errors
from sluice.domain.gateway.admission import Grant
from sluice.domain.repeats import KEY, MOST_ANSWER_BYTES, Claim, KeptAnswer, fingerprint, key_id
from sluice.domain.tokens import Claims
from sluice.domain.usage.ledger import LedgerRecord
from sluice.http import prefer
from sluice.http.gateway import background
from sluice.http.gateway.bearer import authenticate
from sluice.http.gateway.connection import watch
from sluice.http.gateway.responses_requests import RetrieveQuery
from sluice.http.gateway.run_models import AnyBody, InferenceBody
from sluice.http.operation import json_body, raw_body
from sluice.services.gateway.exchange import ClientGone
from sluice.wiring.gateway import gateway, repeat_places
from sluice.wiring.runs import repeats

log = logging.getLogger("sluice.repeats")

HEADER, REPLAYED = "Idempotency-Key", "x-sluice-idempotent-replay"
REQUEST_ID = "x-sluice-request-id"
LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.05, 1.0  # between two looks at a claim
PASSED_ON = (AnyBody, InferenceBody)  # bodies that only the model's server parses
# What each answer has of its own.
NOT_KEPT = ("x-ratelimit-", "ratelimit", "x-sluice-queue-", "preference-applied", "content-length", "request-id")
NO_CONTENT = (
    "This account keeps no content, so an answer cannot be kept for a repetition. Send the request without "
    "Idempotency-Key, or let the account keep content."
)


def once(view: Callable[[], Response], body: type[BaseModel] | None) -> Response:
    """The view's answer, or the one that it gave when this request came first. Errors: InvalidModelRequest (the key, or
    an account that keeps no content), IdempotencyKeyReused, StillRunning, AnswerNotKept, Interrupted, those of a body
    that cannot be parsed, and those of the view."""
    claims = authenticate(None)
    with gateway().form_counted(claims):
        claim = _claim(claims, body)
    keeping = _keeping_grant(claims)
    earlier, patience = repeats().claim(claim), _Patience()
    try:
        while earlier is not None:
            if earlier.fingerprint != claim.fingerprint:
                raise errors.IdempotencyKeyReused()
            earlier = repeats().as_it_stands(earlier, keeping)
            if earlier.status != "running":
                return _told_again(claims, earlier)
            patience.wait()
            keeping = _keeping_grant(claims)  # the API token may have been revoked meanwhile
            earlier = repeats().look_again(claim)
    finally:
        patience.end()
    g.claim = claim
    g.v1_place.take()
    return view()


def _claim(claims: Claims, body: type[BaseModel] | None) -> Claim:
    key = request.environ["HTTP_IDEMPOTENCY_KEY"]
    if not KEY.fullmatch(key):
        raise errors.InvalidModelRequest(f"{HEADER} has 1 to 255 printable ASCII characters.", HEADER)
    parsed: object
    if body in PASSED_ON:
        request.max_content_length = AnyBody.max_bytes
        form = f"{request.mimetype}\n{request.headers.get('Inference-Header-Content-Length', '')}\n"
        parsed = form.encode() + raw_body()
    else:
        parsed = json_body()
    names = claims.account_id, key_id(claims.token_id, request.path, key)
    return Claim(*names, g.server_request_id, fingerprint(key, parsed))


def _keeping_grant(claims: Claims) -> Grant:
    grant = gateway().check_caller(claims)
    if not grant.store_content:
        raise errors.InvalidModelRequest(NO_CONTENT, HEADER)
    return grant


class _Patience:
    """How long a repetition waits for the first request: `Prefer: wait=N`. It takes no place on `/v1` meanwhile. Where
    no request may wait for its turn (on Lambda), none waits for another either."""

    def __init__(self) -> None:
        may_wait = gateway().queue is not None
        self._seconds = prefer.wait_seconds(request.environ.get("HTTP_PREFER", "")) if may_wait else 0
        self._until, self._pause = time.monotonic() + self._seconds, LEAST_PAUSE_SECONDS
        self._gone, self._waits = watch(request.environ), False

    def wait(self) -> None:
        """A moment. Errors: StillRunning (it has waited long enough, or too many wait), ClientGone."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise errors.StillRunning()
        self._begin()
        if self._gone():
            raise ClientGone()
        time.sleep(min(self._pause, left))
        self._pause = min(2 * self._pause, MOST_PAUSE_SECONDS)

    def _begin(self) -> None:
        if self._waits:
            return
        try:
            repeat_places().enter()
        except errors.Overloaded as exc:
            raise errors.StillRunning() from exc
        self._waits, g.patience = True, self._seconds
        g.v1_place.leave()

    def end(self) -> None:
        if self._waits:
            repeat_places().leave()


def _told_again(claims: Claims, claim: Claim) -> Response:
    """Errors: Interrupted, AnswerNotKept, StoreUnavailable; of a background response, as `background.retrieved`."""
    response = _told(claims, claim)
    response.headers[REPLAYED], response.headers[REQUEST_ID] = "true", claim.request_id
    return response


def _told(claims: Claims, claim: Claim) -> Response:
    if claim.status == "lost":
        raise _of(claim, errors.Interrupted())
    answer = repeats().answers.get(claim) if claim.status == "kept" else None
    if answer is None:
        raise _of(claim, errors.AnswerNotKept())
    if answer.follows is not None:
        return background.retrieved(claims, answer.follows, RetrieveQuery(stream=True, starting_after=None))
    return Response(answer.body, answer.status, dict(answer.headers))


def _of(claim: Claim, error: errors.Interrupted | errors.AnswerNotKept) -> errors.SluiceError:
    error.headers = {**error.headers, REPLAYED: "true", REQUEST_ID: claim.request_id}
    return error


# --- the first request


def keep(response: Response) -> None:
    """Of every answer to a request that holds a claim: keep it, before its last byte is sent. A stream is read to its
    end also if its caller has gone."""
    headers = {name: value for name, value in response.headers if not name.lower().startswith(NOT_KEPT)}
    holder = _Holder(g.pop("claim"), response.status_code, headers, g.get("settled"), g.get("follows"))
    if holder.follows is not None:
        holder.end(b"")
    elif response.is_streamed:
        response.response = _KeptStream(response.response, holder, comments=response.mimetype == "text/event-stream")  # type: ignore[arg-type]
    else:
        holder.end(response.get_data())


@dataclass(frozen=True)
class _Holder:
    """`settled`: gets the ledger record, maybe late; None if nothing was to be admitted. `follows`: as in
    `KeptAnswer`."""

    claim: Claim
    status: int
    headers: dict[str, str]
    settled: list[LedgerRecord] | None
    follows: str | None

    def end(self, body: bytes | None) -> None:
        """`body`: None if it broke off. If the store is away, this is repeated in the background."""
        record = self.settled[0] if self.settled else None
        outcome = record.status if record is not None and self.status < 400 else self.status
        admitted = True if record is not None else outcome < 400 if self.settled is None else None
        answer = None if body is None else KeptAnswer(self.status, self.headers, body, self.follows)
        status = repeats().ending(self.claim, answer, outcome, admitted=admitted)
        if not repeats().end(self.claim, status):
            gateway().settle_later.add(partial(repeats().end, self.claim, status), self._given_up)

    def _given_up(self) -> None:
        log.error("a claim was left to its end", extra={"request_id": self.claim.request_id})


class _KeptStream:
    """The blocks of a stream. Once the request is settled there is nothing to wait for any more, so the rest is read
    and kept before it is sent. It is its own iterator, because Werkzeug would close a generator before `close`."""

    def __init__(self, body: Iterable[bytes], holder: _Holder, *, comments: bool) -> None:
        self._body, self._holder, self._comments = body, holder, comments
        self._kept, self._size = list[bytes](), 0
        self._blocks = self._run()

    def __iter__(self) -> "_KeptStream":
        return self

    def __next__(self) -> bytes:
        return next(self._blocks)

    def close(self) -> None:
        """The server calls this when the answer has ended, and when its caller has gone: then it goes on."""
        try:
            for _ in self._blocks:
                pass
        except Exception as exc:
            log.warning("an answer without its caller broke off", exc_info=exc)
        finally:
            self._body.close()  # type: ignore[attr-defined]

    def _run(self) -> Iterator[bytes]:
        rest: list[bytes] = []
        try:
            for block in self._body:
                self._add(block)
                if self._holder.settled:
                    rest.append(block)
                else:
                    yield block
        except Exception:
            self._holder.end(None)
            raise
        self._holder.end(b"".join(self._kept))
        yield from rest

    def _add(self, block: bytes) -> None:
        """What is too large to be kept is not collected any further."""
        if self._comments and block.startswith(b":"):
            return
        if self._size <= MOST_ANSWER_BYTES:
            self._kept.append(block)
            self._size += len(block)
