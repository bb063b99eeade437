"""A request to a model, independent of the API dialect, and what the HTTP layer knows about its caller."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sluice.domain.documents.retrieval import Grounding
from sluice.domain.gateway.admission import Grant
from sluice.domain.gateway.grants import PLAYGROUND
from sluice.domain.gateway.leases import Lease
from sluice.domain.tokens import SCOPES, Claims
from sluice.domain.usage.ledger import LedgerRecord
from sluice.frozen import frozen
from sluice.services.gateway.queue import Waiter

CHAT_PATH = "/v1/chat/completions"
COMPLETIONS_PATH = "/v1/completions"
COUNT_PATH = "/tokenize"  # of Sluice's engine and vLLM: takes the messages of a chat request, or a prompt


@frozen
class ModelRequest:
    """`model`: the model server's object. `endpoint`: its name in the ledger. `body`: the JSON for the model server,
    without `max_tokens`.

    `prompt_bound`: an upper bound of the prompt's model tokens, without passages. It is the number of the text's bytes,
    because each token stands for at least one byte; so it needs neither a tokenizer nor a round trip. What does not fit
    by it is counted (`fit.py`). `max_tokens`: of the answer, None for the default. `stream`: whether the caller gets a
    stream; the model server always sends one. `choices`: how many answers of up to `max_tokens` the model writes.
    """

    claims: Claims
    model: Mapping[str, Any]
    endpoint: str
    body: Mapping[str, Any]
    prompt_bound: int
    max_tokens: int | None
    stream: bool = False
    grounding: Grounding | None = None
    path: str = CHAT_PATH
    choices: int = 1
    shorter: Callable[[], list[dict[str, str]] | None] = lambda: None
    """Called when the prompt is too long for the model: fewer messages, or None where none may be left out."""


@dataclass(frozen=True)
class RunContext:
    """Of an exchange that executes a run. `epoch`: of its lease. `taken`: the lease that was taken over from a dead
    attempt, and the grant then; None where the run has to be admitted. `begun`: called once it holds its lease, before
    the model is asked; what it raises ends the exchange, `Superseded` without a settlement. `at_once`: its caller waits
    for it and gets its refusals, so no queue brings it again. `is_row`: of a batch."""

    epoch: int
    taken: tuple[Lease, Grant] | None
    begun: Callable[[], None]
    at_once: bool = False
    is_row: bool = False


class Superseded(Exception):
    """Another process executes or has ended the run."""


@frozen
class RequestContext:
    """What the HTTP layer knows about the request that it serves."""

    request_id: str
    status_of: Callable[[BaseException], int]
    """The HTTP status that a caller gets for an error: the ledger records it."""
    gone: Callable[[], bool] = lambda: False
    """Whether the caller closed the connection. Does not block."""
    seconds_left: Callable[[], float] = lambda: math.inf
    """Seconds until AWS Lambda stops this request, minus the time reserved for settling it."""
    call: str | None = None
    """The mark of an attempt whose client numbers them."""
    on_settled: Callable[[LedgerRecord], None] = lambda record: None
    """Gets the ledger record, maybe in another thread."""
    on_asked: Callable[[str], None] = lambda upstream: None
    """Gets the name of each model server before it is asked."""
    waiter: Waiter | None = None
    """Of a request that waits for its turn: if the model begins nothing, because it is full, its admission is taken
    back."""
    run: RunContext | None = None

    @property
    def is_queued(self) -> bool:
        """Whether a queue brings the request again after a refusal that passes."""
        return self.run is not None and not self.run.at_once


def playground_claims(account_id: str, now_s: int) -> Claims:
    """The claims of a logged-in person in the playground, who needs no API token: every scope, every model."""
    return Claims(PLAYGROUND, account_id, now_s, now_s, frozenset(SCOPES), None)
