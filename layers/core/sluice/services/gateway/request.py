"""A request to a model as the HTTP layer hands it over: in no dialect, with what only HTTP knows of its caller."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sluice.domain.documents.retrieval import Grounding
from sluice.domain.gateway.grants import PLAYGROUND
from sluice.domain.tokens import SCOPES, Claims

CHAT_PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class ModelRequest:
    """`model`: the model server's object. `endpoint`: as the ledger names it. `body`: what the model server is sent,
    without `max_tokens`.

    `prompt_bound`: model tokens the prompt has at most, passages apart. It is computed from the text's bytes (every
    token stands for at least one), so knowing it costs neither a tokenizer nor a round trip. `max_tokens`: of the
    answer, None for the default. `stream`: whether the caller gets a stream; the model server is always asked for one.
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


@dataclass(frozen=True)
class RequestContext:
    """What the HTTP layer knows of the request it serves."""

    request_id: str
    status_of: Callable[[BaseException], int]
    """The HTTP status that a caller gets for an error: the ledger records it."""
    gone: Callable[[], bool] = lambda: False
    """Whether the caller closed the connection. Looks without waiting."""
    seconds_left: Callable[[], float] = lambda: math.inf
    """Seconds until AWS Lambda stops this request, less those that settling it may take."""


def playground_claims(account_id: str, now_s: int) -> Claims:
    """The claims of a logged-in person, who needs no API token in the playground: every scope, every model."""
    return Claims(PLAYGROUND, account_id, now_s, now_s, frozenset(SCOPES), None)
