"""A model with a paid server that has a bound a day, and a free one after it: requests that end in every way.

The exchanges, the route and the item of the day are real; ledger and grants are in memory, and the servers scripted.
"""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from sluice.adapters.aws.access import Access
from sluice.adapters.aws.json_service import DYNAMODB, JsonService
from sluice.adapters.gateway.spend import DynamoSpend
from sluice.domain import errors
from sluice.domain.gateway.admission import Limits
from sluice.domain.ids import random_id, request_id
from sluice.domain.settings.terms import Terms, UpstreamTerms
from sluice.domain.tokens import Claims
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.pricing import Prices, bound_micro_usd, cost_micro_usd
from sluice.http.errors import ledger_status
from sluice.ports.gateway import Attempt, Reserved, UpstreamCall
from sluice.services.gateway.admit import Admission
from sluice.services.gateway.circuit import Circuit
from sluice.services.gateway.exchange import ClientGone, Exchange, take_usage
from sluice.services.gateway.gateway import Defaults, Gateway
from sluice.services.gateway.model_list import ModelList
from sluice.services.gateway.request import CHAT_PATH, ModelRequest, RequestContext
from sluice.services.gateway.route import Routed
from sluice.services.gateway.routes import Routes, Server
from sluice.services.gateway.settle import settle_abandoned
from sluice.services.gateway.settle_later import SettleLater
from tests.fakes.hot_store import FakeHotStore, grant_of
from tests.fakes.upstream import FakeClock, FakeStream, FakeUpstream, Step, chunk, usage_chunk
from tests.integration.gateway.admission.world import NOW_MS, NOW_NS, PREFIX, REGION, TOKEN, Engine, credentials
from tests.store_clients import PATIENT

PRICES = Prices(prompt_micro_usd=3_000_000, completion_micro_usd=7_000_000, request_micro_usd=11)
PROMPT, ANSWER = 20, 30  # bytes, and the most tokens of an answer
TEXT = "four"  # of an event
LIMITS = Limits(10**6, 10**9, 10**4, 10**12)


@cache
def patient_client(url: str) -> JsonService:
    """Waits for a slow machine, because a write that is sent once is not repeated."""
    return JsonService(DYNAMODB, PATIENT, url=url, granted=Access(REGION, credentials()))


class Killed(BaseException):
    """The process is gone: nothing of the request runs any more."""


# How a request ends → whether the paid server may charge for it up to the bound.
ENDS = {
    "answered": False,
    "answered without counts": False,
    "refuses the request": False,
    "is away": False,
    "says in its stream that it is full": False,
    "refuses in its stream": False,
    "is late": True,
    "loses the answer": True,
    "ends without an answer": True,
    "breaks off": True,
    "is late in its answer": True,
    "caller goes": True,
    "killed before it is asked": False,
    "killed in its answer": True,
    "killed before the give-back": False,
    "sweeper wins": False,
    "give-back fails": False,
    "ledger away for a while": False,
}
STREAMS: dict[str, tuple[Step, ...]] = {
    "answered without counts": (chunk(TEXT), chunk(None, "stop")),
    "says in its stream that it is full": (b'{"error":{"code":"overloaded"}}',),
    "refuses in its stream": (b'{"error":{"status":400,"message":"no"}}',),
    "ends without an answer": (),
    "breaks off": (chunk(TEXT), errors.AnswerLost()),
    "is late in its answer": (chunk(TEXT), errors.UpstreamTimeout()),
}
REFUSALS: dict[str, Exception] = {
    "refuses the request": errors.InvalidModelRequest("no"),
    "is away": errors.ModelUnavailable(),
    "is late": errors.UpstreamTimeout(),
    "loses the answer": errors.AnswerLost(),
}


@dataclass
class Life:
    """One request. `reserved`: of the paid server's day, 0 if it was not asked. `bill`: the most that it charges."""

    end: str
    counts: tuple[int, int]
    request_id: str = field(default_factory=lambda: request_id(NOW_MS))
    reserved: int = 0
    bill: int = 0
    kept: int = 0
    """What of `reserved` stays spent, beside what the ledger says that the request cost."""


class Servers:
    """Both servers; the paid one ends as the request's life says."""

    def __init__(self, lives: dict[str, Life]) -> None:
        self._lives = lives
        self.paid, self.free = FakeUpstream(), FakeUpstream(chunk("x"), usage_chunk(1, 1))
        self.paid.open = self._open  # type: ignore[method-assign]

    def _open(self, call: UpstreamCall) -> FakeStream:
        life = self._lives[call.request_id]
        if (refusal := REFUSALS.get(life.end)) is not None:
            raise refusal
        stream = FakeStream(STREAMS.get(life.end, (chunk(TEXT), chunk(None, "stop"), usage_chunk(*life.counts))))
        stream.prompt_tokens, stream.estimated = 0, True
        return stream


class Ledger(FakeHotStore):
    def __init__(self, lives: dict[str, Life]) -> None:
        super().__init__()
        self._lives = lives
        self.failed: set[str] = set()

    def put_record(self, record: LedgerRecord) -> LedgerRecord:
        if self._lives[record.request_id].end == "ledger away for a while" and record.request_id not in self.failed:
            self.failed.add(record.request_id)
            super().put_record(record)  # it is made, and its answer lost
            raise errors.StoreUnavailable()
        return super().put_record(record)

    def release(self, record: LedgerRecord, *about: Any) -> Attempt:
        made = super().release(record, *about)
        if self._lives[record.request_id].end == "killed before the give-back":
            raise Killed()
        return made


@dataclass
class Unreliable:
    """The item of the day, away for the give-back of some requests."""

    spend: DynamoSpend
    given: list[tuple[Reserved, int]] = field(default_factory=list)
    away: threading.local = field(default_factory=threading.local)

    def reserve(self, *about: Any) -> Reserved | None:
        return self.spend.reserve(*about)

    def give_back(self, reserved: Reserved, micro_usd: int) -> None:
        if getattr(self.away, "now", False):
            raise errors.StoreUnavailable()
        self.given.append((reserved, micro_usd))
        self.spend.give_back(reserved, micro_usd)

    def spent(self, upstream: str, now_ms: int) -> int:
        return self.spend.spent(upstream, now_ms)


class Quiet:
    def settling(self) -> AbstractContextManager[object]:
        return nullcontext()

    def settled(self, record: LedgerRecord, seconds: float) -> None: ...

    def settlement_failed(self) -> None: ...


class Paid:
    """`bound`: micro-dollars a day. Thread-safe, but for `unreliable.away`, which is a thread's own."""

    def __init__(self, engine: Engine, bound: int) -> None:
        self.name, self.bound, self.account_id = random_id("paid_"), bound, random_id("usr_")
        self.lives: dict[str, Life] = {}
        self.clock, self.ledger, self.servers = FakeClock(NOW_NS), Ledger(self.lives), Servers(self.lives)
        self.ledger.grants[self.account_id] = grant_of(
            self.account_id, now_ms=NOW_MS, token_id=TOKEN, **vars(LIMITS), lifetime_seconds=90_000
        )
        self.spend = Unreliable(DynamoSpend(patient_client(engine.url), PREFIX))
        upstreams = (
            UpstreamTerms(self.name, "openai", ("m",), daily_micro_usd=bound, prices=PRICES),
            UpstreamTerms("free", "openai", ("m",)),
        )
        terms = Terms(upstreams=upstreams, routes={"m": ((self.name, "m"), ("free", "m"))})
        hours = itertools.count(step=3600)  # so that no circuit opens
        made = {
            one.name: Server(one, server, ModelList(server), Circuit(lambda: float(next(hours))))
            for one, server in zip(upstreams, (self.servers.paid, self.servers.free), strict=True)
        }
        routes = Routes(terms, made)
        routed = Routed(lambda: routes, self.spend, lambda: self.clock() // 1_000_000)
        admission, later = Admission(self.ledger, LIMITS), SettleLater(0.01, 30)
        more: dict[str, Any] = {"settle_later": later, "terms": lambda: terms, "spend": self.spend}
        self.gateway = Gateway(
            self.ledger, admission, routed, lambda: routes, Quiet(), self.clock, Defaults(ANSWER, 60, 30), **more
        )

    def spent(self) -> int:
        return self.spend.spent(self.name, NOW_MS)

    def told(self) -> int:
        """By the ledger."""
        return sum(record.upstream_micro_usd or 0 for record in self.ledger.ledger.values())

    def live(self, end: str, counts: tuple[int, int] = (10, 5)) -> Iterator[Life]:
        """Yields wherever another request may come between."""
        life = Life(end, counts)
        self.lives[life.request_id] = life
        gone: list[bool] = []
        context = RequestContext(life.request_id, ledger_status, lambda: bool(gone), on_asked=self._asked(life))
        exchange, _ = self.gateway.start(self._request(), context)
        yield life
        try:
            stream = self.gateway.open(exchange, CHAT_PATH, {"model": "m", "messages": []})
            yield life
            for payload in exchange.events(stream):
                take_usage(stream, json.loads(payload))
                if end == "caller goes" and exchange.upstream == self.name:
                    gone.append(True)
                if end == "killed in its answer" and exchange.upstream == self.name:
                    raise Killed()
                yield life
            self._end(life, exchange, partial(exchange.settle, 200, "stop"))
        except Killed:
            record = self.ledger.ledger.get(life.request_id)
            life.kept = life.reserved - ((record.upstream_micro_usd or 0) if record else 0)
        except (errors.SluiceError, ClientGone) as exc:
            self._end(life, exchange, partial(exchange.fail, exc))
        life.bill = self._bill(life)
        yield life

    def _request(self) -> ModelRequest:
        claims = Claims(TOKEN, self.account_id, 0, NOW_MS, frozenset(), None)
        return ModelRequest(claims, {"id": "m"}, "chat.completions", {"model": "m"}, PROMPT, ANSWER, stream=True)

    def _asked(self, life: Life) -> Callable[[str], None]:
        def on_asked(upstream: str) -> None:
            if upstream == self.name and not life.reserved:
                life.reserved = bound_micro_usd(PRICES, PROMPT + 48, ANSWER)
                if life.end == "killed before it is asked":
                    raise Killed()

        return on_asked

    def _end(self, life: Life, exchange: Exchange, end: Callable[[], None]) -> None:
        is_paid = exchange.upstream == self.name and life.reserved
        if life.end == "sweeper wins" and is_paid:
            settle_abandoned(self.ledger, self.account_id, life.request_id, exchange.lease)
        self.spend.away.now = life.end == "give-back fails"
        try:
            end()
        finally:
            self.spend.away.now = False
        if life.end == "give-back fails" and is_paid:
            life.kept = life.reserved - self._cost(life)
        if life.end == "sweeper wins" or not is_paid:
            life.kept = life.reserved * (life.end in ("sweeper wins", *KEPT_BEHIND_ANOTHER))

    def _cost(self, life: Life) -> int:
        return cost_micro_usd(PRICES, *life.counts) or 0

    def _bill(self, life: Life) -> int:
        if not life.reserved or life.end in NOTHING_DONE:
            return 0
        if life.end == "answered without counts":
            return cost_micro_usd(PRICES, life.counts[0], min(life.counts[1], len(TEXT))) or 0
        return life.reserved if ENDS[life.end] else self._cost(life)


NOTHING_DONE = (
    "refuses the request",
    "is away",
    "says in its stream that it is full",
    "refuses in its stream",
    "killed before it is asked",
)
KEPT_BEHIND_ANOTHER = ("is late", "loses the answer", "ends without an answer")  # the free server answers then
