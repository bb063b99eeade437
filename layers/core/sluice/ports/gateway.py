"""What admission, settlement and the relay to a model need."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sluice.domain.gateway.admission import AdmissionRequest, Forms, Grant, Limits
from sluice.domain.gateway.contents import LoggedContent
from sluice.domain.gateway.leases import Lease
from sluice.domain.usage.ledger import LedgerRecord


class GrantStore(Protocol):
    """Which API tokens are live, standing, limits. All may raise StoreUnavailable and NotFound (no such account)."""

    def live(self, account_id: str) -> dict[str, int]:
        """API token id → expiry in Unix seconds."""

    def add_live(self, account_id: str, token_id: str, expires_s: int, now_s: int) -> None:
        """Errors: TokenLimitReached."""

    def remove_live(self, account_id: str, token_id: str) -> None:
        """Refused from the next request on; idempotent."""

    def remove_all_live(self, account_id: str, now_s: int) -> list[str]:
        """The ids of those that were live until now."""

    def set_store_content(self, account_id: str, wanted: bool) -> None: ...

    def set_standing(self, account_id: str, standing: str) -> str:
        """`good` or `suspended`, from the next request and checkpoint on. Returns the standing until now."""

    def set_limits(self, account_id: str, before: Limits, after: Limits) -> None:
        """Errors: Conflict when they are not `before` any more."""

    def close(self, account_id: str) -> None:
        """For good: nothing live, suspended, nothing logged. No error where there is no grant."""


@dataclass(frozen=True)
class Attempt:
    """One conditional write on a grant: whether it was made, and the grant after it, or as it stood in the way.

    `grant` is None only where the account has no grant.
    """

    made: bool
    grant: Grant | None


class HotStore(Protocol):
    """What every request needs of the store. All may raise StoreUnavailable; every write may be repeated safely."""

    def grant(self, account_id: str) -> Grant | None:
        """A consistent read."""

    def admit(self, request: AdmissionRequest, guess: Grant, forms: Forms, lease: Lease, now_ns: int) -> Attempt:
        """The one write that admits, in the forms guessed."""

    def checkpoint(self, account_id: str, request_id: str, lease: Lease, now_ms: int) -> Attempt:
        """Renew a lease and record its counts, while its API token is live and the account in good standing."""

    def release(self, account_id: str, request_id: str, lease: Lease, used_tokens: int, same_period: bool) -> Attempt:
        """Remove a lease that is still there and give back what was not used."""

    def block(self, grant: Grant, seconds: int, now_ms: int) -> Attempt:
        """Refuse the account everything for a while, unless another instance did so since `grant` was read."""

    def put_record(self, record: LedgerRecord) -> LedgerRecord:
        """Put if absent. Returns the record as stored: ours, or the one that was first."""

    def put_content(self, account_id: str, request_id: str, content: LoggedContent, now_ms: int, ttl_s: int) -> None:
        """Keep the prompt and the answer, cut to size, until `ttl_s` (Unix seconds)."""


@dataclass(frozen=True)
class UpstreamCall:
    """One request to a model server that speaks OpenAI's protocol; `body` is the whole JSON to send."""

    path: str  # "/v1/chat/completions"
    body: Mapping[str, Any]
    request_id: str
    account_id: str
    deadline_seconds: float


class UpstreamStream(Protocol):
    """A streamed answer. Iterating yields the payload of each data event (bytes of JSON), or b"" for a ping.

    Errors while iterating: ModelUnavailable (broke off), UpstreamTimeout (silent too long). The counts are the
    engine's own, kept up to date while iterating.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """Stop the generation: the engine frees its slot within a token."""


class Upstream(Protocol):
    def open(self, call: UpstreamCall) -> UpstreamStream:
        """Errors: ModelUnavailable, Overloaded, UpstreamTimeout, InvalidModelRequest, ModelNotFound."""

    def fetch(self, call: UpstreamCall) -> dict[str, Any]:
        """An answer that is no stream (embeddings). Errors: as `open`."""

    def models(self) -> list[dict[str, Any]]:
        """OpenAI's model objects, each with `context_window` where the server states it. Errors: ModelUnavailable."""


class ModelServer(Protocol):
    """A model server as its operator sees it. Errors of both: ModelUnavailable."""

    def health(self) -> dict[str, Any]:
        """What it reports, and `http_status`."""

    def models(self) -> list[dict[str, Any]]: ...


class ContentStore(Protocol):
    """Logged prompts and responses. Errors: StoreUnavailable."""

    def logged(self, account_id: str, request_ids: Sequence[str], now_ms: int) -> dict[str, LoggedContent]:
        """What is kept of these requests (100 at most) and not expired, by request id."""

    def everything(self, account_id: str, now_ms: int) -> Iterator[dict[str, Any]]:
        """Logged texts, chats, stored Responses, as they are stored, expired ones left out."""

    def erase_account(self, account_id: str) -> None: ...


class LeaseIndex(Protocol):
    """The accounts that hold leases. Errors: StoreUnavailable."""

    def accounts(self, shard: str) -> Iterator[str]:
        """Their ids. The index lags: it holds some accounts without a lease, and lacks those of the last moment."""

    def clear(self, account_id: str) -> bool:
        """Take an account without a lease off the index. False when it holds a lease, or was not there."""


class TextStore(Protocol):
    """Named texts of an account, in the contents table: stored Responses. All may raise StoreUnavailable."""

    def get_texts(self, account_id: str, item_id: str, now_ms: int) -> dict[str, str] | None:
        """A consistent read; what has expired is None, whether or not the store has deleted it yet."""

    def put_texts(self, account_id: str, item_id: str, texts: Mapping[str, str], now_ms: int, ttl_s: int) -> None:
        """Put or replace."""

    def delete_texts(self, account_id: str, item_id: str) -> None: ...
