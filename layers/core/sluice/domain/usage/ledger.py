"""The ledger: one append-only record for each admitted request. It holds amounts, never content."""

from dataclasses import dataclass

from sluice.domain.spans import Span
from sluice.frozen import frozen

SCHEMA = 1
UNPRICED = "unpriced"  # marks a stored record without a cost, or a roll-up of such records


@frozen
class LedgerRecord:
    """Token counts come from the engine's final answer, or from the last checkpoint if the engine did not finish.

    `status` is the HTTP status that the caller got or would have got: 499 when the caller disconnected, 500 when the
    gateway died and the sweeper settled. `period` is the quota month that was charged, as the integer YYYYMM.
    `cost_micro_usd` is None where the model had no price.
    """

    account_id: str
    request_id: str
    token_id: str
    model: str
    endpoint: str  # "chat.completions", "messages", "vector_stores", …: `ENDPOINT_LETTERS` lists them
    stream: bool
    status: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_micro_usd: int | None
    created_ms: int
    response_time_ms: int | None
    ttft_ms: int | None
    finish_reason: str | None
    period: int
    settled_by: str = "gateway"  # or "sweeper"
    rolled_up_ms: int | None = None
    call: str | None = None
    """The mark of an attempt whose client numbers them (`domain/usage/calls.py`)."""
    upstream: str | None = None
    """The model server that answered, or was asked last. None: no model was asked, or an earlier version wrote this."""
    upstream_micro_usd: int | None = None
    """What the answer cost the owner. None where its upstream has no prices of its own and no daily bound."""
    price_percent: int | None = None
    """Of a row of a batch: what it cost of the model's prices. None for all else."""
    estimated: bool = False
    """Whether the counts are made from the text, because the model server told none."""

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class LogFilter:
    """Which records to show; None in a field accepts every value. `answered`: True for status 200, False for others."""

    token_id: str | None = None
    model: str | None = None
    span: Span | None = None
    answered: bool | None = None


EVERY = LogFilter()
