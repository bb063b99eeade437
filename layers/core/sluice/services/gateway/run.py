"""Requests to a model that need not be a language model: any body, admitted by requests, concurrency and money."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.domain.tokens import Claims
from sluice.domain.usage.pricing import Prices
from sluice.ports.gateway import Content, RunAnswer
from sluice.services.gateway.exchange import Exchange
from sluice.services.gateway.gateway import Gateway
from sluice.services.gateway.request import RequestContext

ENDPOINT = "run"
ASK_SECONDS = 5.0  # for what a server says of a model
NOTHING = Content()


@dataclass(frozen=True)
class Runs:
    gateway: Gateway

    def start(
        self, claims: Claims, model: Mapping[str, Any], path: str, content: Content, context: RequestContext
    ) -> tuple[Exchange, RunAnswer]:
        """Admit, and pass the body on. → the exchange to settle, and the answer that has begun. An error after the
        admission settles it. Errors: as `Admission.admit` and `Upstream.run`, and ClientGone."""
        name, terms = str(model["id"]), self.gateway.terms()
        exchange = self.gateway.admitted(claims, ENDPOINT, context, name, terms.prices.get(name))
        return exchange, self.gateway.run(exchange, path, content, terms.max_seconds.get(name, math.inf))

    def ask(self, claims: Claims, model: Mapping[str, Any], path: str, context: RequestContext) -> bytes:
        """What a server says of a model, as JSON. It counts as a request for no tokens, and costs nothing. Errors: as
        `start`."""
        name = str(model["id"])
        free = Prices() if name in self.gateway.terms().prices else None
        exchange = self.gateway.admitted(claims, ENDPOINT, context, name, free)
        answer = self.gateway.run(exchange, path, NOTHING, ASK_SECONDS)
        return whole(exchange, answer)


def whole(exchange: Exchange, answer: RunAnswer) -> bytes:
    """All of an answer. Settles the exchange. Errors: as `Exchange.pieces`."""
    try:
        body = b"".join(exchange.pieces(answer))
    except BaseException as exc:
        exchange.fail(exc)
        raise
    finally:
        answer.close()
    exchange.settle(200)
    return body
