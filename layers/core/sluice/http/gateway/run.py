"""`POST /v1/run/{model}`, and the Open Inference Protocol below `/v2/models`: any body in, any answer out."""

import logging
from collections.abc import Iterator

from flask import Response, request

from sluice.domain import errors
from sluice.http.gateway.bearer import authenticate
from sluice.http.gateway.connection import follow_reader
from sluice.http.gateway.context import admitting
from sluice.http.gateway.run_models import AnyBody
from sluice.http.operation import raw_body
from sluice.ports.gateway import Content, RunAnswer
from sluice.services.gateway.exchange import ClientGone, Exchange
from sluice.services.gateway.run import whole
from sluice.wiring.gateway import gateway, runs

log = logging.getLogger("sluice.stream")

SCOPE = "inference"
PASSED = ("content-type", "accept", "inference-header-content-length")
# A model's answer is not ours. No browser shows it as a page of this site, and what is in it can do nothing here.
SAFE = {
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "sandbox; default-src 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def run(name: str, capability: str, path: str) -> Response:
    claims = authenticate(SCOPE)
    with gateway().form_counted(claims):
        request.max_content_length = AnyBody.max_bytes
        body = raw_body()
        model = gateway().model_for(claims, name, capability)
    sent = {header: request.headers[header] for header in PASSED if header in request.headers}
    exchange, answer = runs().start(claims, model, path, Content(body, sent), admitting(claims))
    if answer.ended:
        return Response(whole(exchange, answer), answer.status, {**answer.headers, **SAFE})
    follow_reader(request.environ)
    return _Passed(_Body(exchange, answer), answer.status, {**answer.headers, **SAFE, "X-Accel-Buffering": "no"})


def described(name: str, path: str) -> Response:
    """What a server says of a model by the Open Inference Protocol."""
    claims = authenticate(SCOPE)
    with gateway().form_counted(claims):
        model = gateway().model_for(claims, name, "infer")
    return Response(runs().ask(claims, model, path, admitting(claims)), 200, mimetype="application/json")


class _Passed(Response):
    def iter_encoded(self) -> Iterator[bytes]:
        return iter(self.response)  # type: ignore[arg-type]


class _Body:
    """The answer's bytes as they arrive. What fails after the first of them breaks the connection, because nothing in
    them could tell it. It is a class, because a generator that is closed before its start does not run `finally`."""

    def __init__(self, exchange: Exchange, answer: RunAnswer) -> None:
        self._exchange, self._answer = exchange, answer
        self._pieces = self._run()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def _run(self) -> Iterator[bytes]:
        try:
            for piece in self._exchange.pieces(self._answer):
                if self._answer.ended:  # before the last byte, after which Lambda may freeze the process
                    self._exchange.settle(200)
                yield piece
            self._exchange.settle(200)
        except ClientGone:
            return  # `close` settles
        except errors.SluiceError as exc:
            log.warning("an answer broke off: %s", type(exc).__name__)
            self._exchange.fail(exc)
            raise
        except Exception as exc:
            self._exchange.fail(exc)
            raise

    def close(self) -> None:
        """The server calls this when the answer has ended, and when the caller's connection broke."""
        self._answer.close()
        if not self._exchange.over:
            self._exchange.fail(ClientGone())
