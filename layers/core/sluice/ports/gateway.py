"""Interfaces for admission, settlement and the relay to a model."""

from __future__ import annotations  # a port is imported without the domain that it speaks of (ADR 85)

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sluice.frozen import frozen

if TYPE_CHECKING:
    from sluice.domain.gateway.admission import AdmissionRequest, Forms, Grant, Limits, Refund, TokenLimits
    from sluice.domain.gateway.contents import Kept, LoggedContent
    from sluice.domain.gateway.grants import Replaced
    from sluice.domain.gateway.leases import Lease
    from sluice.domain.gateway.plans import PlanChange
    from sluice.domain.gateway.publishable import PublicTerms
    from sluice.domain.usage.ledger import LedgerRecord
    from sluice.domain.usage.pricing import Prices


RUN_PATH = "/v1/run"
"""Where a body that is passed on was sent: a call's `path`. The three below are the Open Inference Protocol's."""
INFER_PATH, METADATA_PATH, READY_PATH = "/v2/infer", "/v2/metadata", "/v2/ready"


class GrantStore(Protocol):
    """Live API tokens, standing, limits. Every method may raise StoreUnavailable and NotFound (no such account)."""

    def live(self, account_id: str) -> dict[str, int]:
        """API token id → expiry in Unix seconds."""

    def add_live(
        self,
        account_id: str,
        token_id: str,
        expires_s: int,
        now_s: int,
        epoch: int,
        limits: TokenLimits | None = None,
        family: str | None = None,
        public: PublicTerms | None = None,
    ) -> None:
        """`epoch`: of the session that asks. `family`: of the API token that this one replaces, whose counters (and
        limits, if it still has some) it shares. Errors: TokenLimitReached, NotAuthenticated (the session has ended)."""

    def rotate_live(
        self, account_id: str, token_id: str, expires_s: int, now_s: int, epoch: int, replaced: Replaced
    ) -> None:
        """Make an API token live, and end the one that it replaces, by one write. Errors: as `add_live`, and Conflict
        (it is not live any more, or was replaced already)."""

    def set_token_limits(self, account_id: str, family: str, limits: TokenLimits | None) -> None:
        """In force from the next request on; the counters stay. None removes limits and counters. Nothing happens where
        no live API token is of the family."""

    def set_public_terms(self, account_id: str, family: str, changes: Mapping[str, Any]) -> None:
        """Change fields of a publishable API token's `PublicTerms`, in force from the next request on. Errors: NotFound
        where no such token is of the family."""

    def live_with_limits(
        self, account_id: str
    ) -> tuple[dict[str, int], dict[str, TokenLimits], dict[str, PublicTerms]]:
        """By one read: `live`, by family the limits of those that have some, and the terms of publishable ones, without
        their salt."""

    def remove_live(self, account_id: str, token_id: str) -> None:
        """The token is refused from the next request on. Idempotent."""

    def remove_all_live(self, account_id: str, now_s: int) -> list[str]:
        """→ the ids of the tokens that were live."""

    def set_store_content(self, account_id: str, wanted: bool) -> None: ...

    def set_standing(self, account_id: str, standing: str) -> str:
        """Set `good` or `suspended`, from the next request and checkpoint on. → the previous standing."""

    def set_limits(
        self,
        account_id: str,
        before: Limits,
        after: Limits,
        own: Mapping[str, int],
        own_before: Mapping[str, int] | None = None,
    ) -> None:
        """`own`: those of `after` that are the account's own, whatever its plan says. Errors: Conflict if the limits
        are not `before` any more, or its own not `own_before` (None: it had none)."""

    def set_plan(self, account_id: str, plan: str) -> None:
        """The plan's limits hold from the next request on, and the account has none of its own any more."""

    def used(self, account_id: str) -> tuple[int, int]:
        """The month, and the tokens that count against it, those of running requests included."""

    def use_at_least(self, account_id: str, period: int, tokens: int) -> int:
        """Count so many tokens as used in this month, unless more are counted already. → how many that added."""

    def use_less(self, account_id: str, period: int, tokens: int) -> None:
        """Take back what `use_at_least` added."""

    def close(self, account_id: str) -> tuple[int, int]:
        """Remove all tokens, suspend, and log no more content. It cannot be undone. A missing grant is no error.
        → as `used`."""


@frozen
class Attempt:
    """One conditional write on a grant: whether it was made, and the grant after it, or the one that refused it.

    `grant` is None only if the account has no grant.
    """

    made: bool
    grant: Grant | None


class HotStore(Protocol):
    """The store calls of every request. All may raise StoreUnavailable; every write is safe to repeat."""

    settles_at_once: bool
    """Whether it has `settle`; otherwise a settlement is `put_record` and `release`."""

    def grant(self, account_id: str) -> Grant | None:
        """A consistent read."""

    def grants_of(self, account_ids: Sequence[str]) -> dict[str, Grant]:
        """Those that exist, read consistently."""

    def admit(
        self,
        request: AdmissionRequest,
        guess: Grant,
        forms: Forms,
        lease: Lease,
        now_ns: int,
        change: PlanChange | None = None,
    ) -> Attempt:
        """The one write that admits, in the forms guessed, with the limits of `change` for those of the guess."""

    def charge_malformed(self, guess: Grant, token_id: str, now_ns: int, family: str = "") -> Attempt:
        """Charge one request a minute for a request that is wrong in form, in the form guessed."""

    def checkpoint(
        self, account_id: str, request_id: str, lease: Lease, now_ms: int, *, settling: bool = False
    ) -> Attempt:
        """Renew a lease and record its counts, if its API token is live and the account in good standing. `settling`:
        also if they are not. Of a run, only if it is still the lease of the same epoch."""

    def take_over(self, account_id: str, request_id: str, lease: Lease, now_ms: int) -> Attempt:
        """Give the lease of a run to its next epoch, with its counts, if it has expired and has the epoch of `lease`.
        Every other write of the earlier epoch is refused from then on."""

    def release(self, record: LedgerRecord, lease: Lease, refund: Refund) -> Attempt:
        """Remove the lease of the record's request, if it still exists, and give back what it reserved and the record
        did not use, to the counters of `refund`, if all of them are there. A withdrawal is made only of a lease that
        has not expired, and is not safe to repeat once the request may be admitted again."""

    def settle(self, record: LedgerRecord, lease: Lease, refund: Refund, kept: Kept | None) -> bool:
        """Put the record, release the lease and keep the content, all or nothing. False if nothing was done, because
        there is a record already, or no lease, or a counter of `refund` is gone."""

    def block(self, grant: Grant, seconds: int, now_ms: int) -> Attempt:
        """Refuse all requests of the account for `seconds`, unless another process did so since `grant` was read."""

    def put_record(self, record: LedgerRecord) -> LedgerRecord:
        """Put if absent. → the record as stored: this one, or an earlier one."""

    def record(self, account_id: str, request_id: str) -> LedgerRecord | None:
        """A consistent read."""

    def put_content(self, account_id: str, request_id: str, content: LoggedContent, now_ms: int, ttl_s: int) -> None:
        """Store the prompt and the answer, cut to size, until `ttl_s` (Unix seconds)."""


@dataclass(frozen=True)
class Visit:
    """A request of a visitor: whether it was charged, and the arrival time of the bucket (`domain/gateway/buckets`)."""

    made: bool
    tat_ns: int


@dataclass(frozen=True)
class Reserved:
    """Micro-dollars of an upstream's UTC day (`2026-11-29`) that a running request may still spend."""

    upstream: str
    day: str
    micro_usd: int


class Visits(Protocol):
    """Requests a minute of each visitor of a publishable API token. Errors: StoreUnavailable."""

    def take(self, key: str, rpm: int, now_ns: int) -> Visit:
        """Charge one request, by one conditional write. `key`: of token and visitor."""


class Spend(Protocol):
    """What each upstream has cost today, running requests included. Errors: StoreUnavailable, also where so many
    requests write at once that the store refuses this one."""

    def reserve(self, upstream: str, most_a_day: int, micro_usd: int, now_ms: int) -> Reserved | None:
        """By one conditional write. None if the day would cost more than `most_a_day` with it."""

    def give_back(self, reserved: Reserved, micro_usd: int) -> None:
        """Once for a reservation: not safe to repeat. What is never given back stays spent until the day ends."""

    def spent(self, upstream: str, now_ms: int) -> int:
        """Today's micro-dollars so far."""


@frozen
class Asked:
    """The model server that is asked just now. `prices`: what it costs the owner, None if not known."""

    upstream: str
    prices: Prices | None = None
    reserved: Reserved | None = None


def _nobody(asked: Asked) -> None: ...


def _nothing() -> None: ...


@dataclass(frozen=True)
class Content:
    """A body that is passed on as it is. `headers`: what the caller says of it, by names in lower case."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@frozen
class UpstreamCall:
    """One request to a model server with OpenAI's protocol. `body`: the whole JSON to send."""

    path: str  # "/v1/chat/completions"
    body: Mapping[str, Any]
    request_id: str
    account_id: str
    deadline_seconds: float
    traceparent: str = ""  # of the caller's span (W3C Trace Context), or ""
    tries: int = 1  # of an answer that breaks its schema
    named: str = ""  # the model's name in the answer; empty: as the server says
    local_only: bool = False
    most: tuple[int, int] | None = None  # prompt and completion tokens that are reserved; None: by the body's bytes
    prices: Prices | None = None  # what the caller pays
    asked: Callable[[Asked], None] = _nobody
    """Called with each server before it is asked."""
    content: Content | None = None
    """For `Upstream.run`, which sends this; `body` then only names the model."""
    is_row: bool = False
    """Of a batch: it gives way to all other requests of the engine."""
    waiting: Callable[[], None] = _nothing
    """Called every few seconds by `Upstream.run`, while no answer has begun. What it raises ends the call."""


class UpstreamStream(Protocol):
    """A streamed answer. Iteration yields the payload of each data event (bytes of JSON), or b"" for a ping.

    Errors during iteration: ModelUnavailable (the answer broke off), UpstreamTimeout (silence or deadline). The counts
    are the engine's own and are updated during iteration.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    estimated: bool
    """Whether the counts are made from the text, because the server has sent none."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """Stop the generation. The engine frees its slot within the time of a token."""


class RunAnswer(Protocol):
    """What a model behind HTTP answers, for any 2xx. `headers`: those that the caller may have, by names in lower case.

    Iteration yields the pieces as they arrive, or b"" while the server is silent. Errors during iteration:
    ModelUnavailable (the answer broke off, or is too large), UpstreamTimeout (silence or deadline).
    """

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def ended(self) -> bool:
        """Whether all of it has arrived. A short answer is read whole before it is passed on."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Upstream(Protocol):
    def open(self, call: UpstreamCall) -> UpstreamStream:
        """Errors: ModelUnavailable, Overloaded, UpstreamTimeout, InvalidModelRequest, ModelNotFound."""

    def fetch(self, call: UpstreamCall) -> dict[str, Any]:
        """An answer that is not streamed (embeddings). Errors: as `open`."""

    def run(self, call: UpstreamCall) -> RunAnswer:
        """Of a server of kind `http`: pass the call's content on. It returns when the answer has begun. Errors: as
        `open`, and what `call.waiting` raises."""

    def count(self, call: UpstreamCall) -> int | None:
        """The prompt tokens of a request that is not answered; None if the server cannot count. Errors: as `open`."""

    def models(self) -> list[dict[str, Any]]:
        """OpenAI's model objects, with `context_window` if the server states it. Errors: ModelUnavailable."""


class ModelServer(Protocol):
    """A model server from its operator's view. Both methods may raise ModelUnavailable."""

    def health(self) -> dict[str, Any]:
        """The server's report, with `http_status` added."""

    def models(self) -> list[dict[str, Any]]: ...


class ContentStore(Protocol):
    """Logged prompts and responses. Errors: StoreUnavailable."""

    def logged(self, account_id: str, request_ids: Sequence[str], now_ms: int) -> dict[str, LoggedContent]:
        """The content of these requests (100 at most) that is stored and not expired, by request id."""

    def everything(self, account_id: str, now_ms: int) -> Iterator[dict[str, Any]]:
        """Logged texts, chats and what is stored of `/v1`, in the stored form, without expired ones."""

    def erase_account(self, account_id: str, most: int) -> bool:
        """Delete at most `most` items. → whether all are gone."""


class LeaseIndex(Protocol):
    """The accounts that hold leases. Errors: StoreUnavailable."""

    def accounts(self, shard: str) -> Iterator[str]:
        """Account ids. The index lags: it may contain accounts without a lease, and lack the most recent ones."""

    def clear(self, account_id: str) -> bool:
        """Remove an account without leases from the index. → False if it holds a lease, or was not in the index."""


class TextStore(Protocol):
    """Named texts of an account in the contents table: what is stored of `/v1`. All may raise StoreUnavailable."""

    def get_texts(self, account_id: str, item_id: str, now_ms: int) -> dict[str, str] | None:
        """A consistent read. None if expired, even if the store has not deleted the item yet."""

    def put_texts(
        self,
        account_id: str,
        item_id: str,
        texts: Mapping[str, str],
        now_ms: int,
        ttl_s: int,
        *,
        again: bool = False,
        having: str = "",
    ) -> bool:
        """Put or replace, until `ttl_s` (Unix seconds). `again`: only if the item holds the same `response_id`, and if
        it has the text `having`, where that is named; False if it does not."""

    def list_texts(self, account_id: str, prefix: str, now_ms: int) -> list[dict[str, str]]:
        """All whose `item_id` begins so, by item_id, without expired ones. A consistent read."""

    def set_text(self, account_id: str, item_id: str, response_id: str, name: str, text: str) -> bool:
        """Replace one text. False if the item holds no such response, or none any more."""

    def delete_texts(self, account_id: str, item_id: str, response_id: str) -> None:
        """Leaves an item that holds another response meanwhile."""

    def count_up(self, account_id: str, item_id: str) -> int:
        """Add one to a counter. → its value, 1 at first."""
